// What a workflow's script is given: agent, parallel, pipeline, phase, log, args, budget, workflow.
//
// An expression: a function that takes the limits and gives [compile, start, deliver, drain]. The
// process calls these; a script never holds them. A script may change anything of the language, so
// what is needed here is kept first, and all that leaves is text that is put together at once.
(function (limits) {
  "use strict";
  const { parse, stringify } = JSON;
  const { construct, defineProperty: define, deleteProperty: remove } = Reflect;
  const { isArray } = Array;
  const text = String;
  const bare = Object.create;
  const freeze = Object.freeze;
  const Later = Promise;
  const Wrong = TypeError;
  const Plain = Error;
  const AsyncFunction = (async () => {}).constructor;
  const world = globalThis;
  const bounds = parse(limits);

  // ---------------------------------------------------------------- what goes out and comes in

  const never = new Later(() => {});
  const waiting = bare(null); // id -> { resolve, reject }
  let last = 0;
  let asked = 0;
  let said = 0;
  let out = "";
  let over = false; // the run ends: nothing more goes out
  let state = '"waiting"';
  let main = null;
  let spent = bare(null);

  const plain = (value) => {
    const told = stringify(value);
    return typeof told === "string" ? told : "null";
  };

  function send(piece) {
    if (over) return;
    if (out.length + piece.length > bounds.text) {
      return end("the script asked for more than " + bounds.text + " characters at once");
    }
    out += (out === "" ? "" : ",") + piece;
  }

  function end(why) {
    out = '{"op":"fatal","message":' + stringify(why) + "}";
    over = true;
  }

  // A wish that is answered later. No async function: what these do to promises, a script can bend.
  function wish(op, given, more, extra) {
    asked += 1;
    if (asked > bounds.agents) return never; // the engine ends the run at the one before
    return new Later((resolve, reject) => {
      const told = '"op":"' + op + '","given":' + plain(given) + more + plain(extra);
      const id = (last += 1);
      waiting[id] = { resolve, reject };
      send('{"id":' + id + "," + told + "}");
    });
  }

  function tell(op, words) {
    said += 1;
    if (said > bounds.lines) return end("the script told more than " + bounds.lines + " lines");
    send('{"op":"' + op + '","message":' + stringify(words) + "}");
  }

  function why(error) {
    try {
      const stack = error !== null && typeof error === "object" ? error.stack : undefined;
      return typeof stack === "string" ? stack : text(error);
    } catch {
      return "something that cannot be told";
    }
  }

  const line = (error) => {
    const told = why(error);
    for (let at = 0; at < told.length; at += 1) {
      if (told[at] === "\n") {
        let cut = "";
        for (let of = 0; of < at; of += 1) cut += told[of];
        return cut;
      }
    }
    return told;
  };

  const put = (list, at, value) =>
    define(list, at, {
      __proto__: null, value, writable: true, enumerable: true, configurable: true,
    });

  // ---------------------------------------------------------------- what a script calls

  const agent = (prompt, opts) => wish("agent", prompt, ',"more":', opts);
  const workflow = (which, given) =>
    wish("workflow", which, given === undefined ? ',"none":' : ',"more":', given);

  function counted(items, word) {
    if (!isArray(items)) throw new Wrong(word + "() takes a list");
    if (items.length > bounds.items) {
      end(word + "() was given " + items.length + " items; " + bounds.items + " at once is the most");
    }
  }

  async function one(work) {
    try {
      return await work();
    } catch (error) {
      tell("log", "an item failed: " + line(error));
      return null;
    }
  }

  async function all(count, begin) {
    const begun = [];
    const results = [];
    for (let at = 0; at < count && !over; at += 1) put(begun, at, one(() => begin(at)));
    for (let at = 0; at < count; at += 1) put(results, at, await begun[at]);
    return results;
  }

  async function parallel(thunks) {
    counted(thunks, "parallel");
    return await all(thunks.length, (at) => {
      const thunk = thunks[at];
      return typeof thunk === "function" ? thunk() : thunk;
    });
  }

  async function pipeline(items, ...stages) {
    counted(items, "pipeline");
    return await all(items.length, async (at) => {
      let value = items[at];
      for (let number = 0; number < stages.length; number += 1) {
        value = await stages[number](value, items[at], at);
      }
      return value;
    });
  }

  const phase = (title) => tell("phase", text(title));
  const log = (...words) => {
    let told = "";
    for (let at = 0; at < words.length; at += 1) told += (at ? " " : "") + text(words[at]);
    tell("log", told);
  };

  const pool = (name) => ({
    get total() {
      return spent[name + "_total"] ?? null;
    },
    spent: () => spent[name] ?? 0,
    remaining() {
      const total = spent[name + "_total"] ?? null;
      if (total === null) return Infinity;
      const left = total - (spent[name] ?? 0);
      return left > 0 ? left : 0;
    },
  });
  const budget = pool("tokens");
  budget.usd = freeze(pool("usd"));
  freeze(budget);

  // ---------------------------------------------------------------- what a script shall not have

  const refused = (what, instead) =>
    function () {
      throw new Plain(
        what + " is another one each time, so a resumed workflow would not find its steps again; " +
          instead,
      );
    };
  const GONE = [
    "setTimeout", "clearTimeout", "__timer_manager", "WebAssembly", "SharedArrayBuffer", "Atomics",
    "WeakRef", "FinalizationRegistry", "Temporal", "Intl",
  ];
  for (let at = 0; at < GONE.length; at += 1) {
    const name = GONE[at];
    if (!remove(world, name)) define(world, name, { value: undefined });
  }

  Math.random = refused("Math.random()", "give a number in args, or vary prompts by their index");
  const RealDate = Date;
  const clock = refused("the time", "give it in args, or add it when the workflow is done");
  function SafeDate(...given) {
    if (new.target === undefined || given.length === 0) clock();
    return construct(RealDate, given, new.target);
  }
  define(SafeDate, "name", { value: "Date" });
  define(SafeDate, "length", { value: 7 });
  define(SafeDate, "prototype", { value: RealDate.prototype, writable: false });
  SafeDate.parse = RealDate.parse;
  SafeDate.UTC = RealDate.UTC;
  SafeDate.now = clock;
  define(RealDate.prototype, "constructor", { value: SafeDate });
  define(world, "Date", { value: SafeDate });

  // The process hands texts in by way of a list's push.
  define(Array.prototype, "push", { writable: false, configurable: false });

  const given = {
    agent, parallel, pipeline, phase, log, budget, workflow,
    console: freeze({ log, info: log, warn: log, error: log, debug: log }),
  };
  const names = Object.keys(given);
  for (let at = 0; at < names.length; at += 1) {
    define(world, names[at], { value: given[names[at]], writable: false, configurable: false });
  }

  // ---------------------------------------------------------------- what the process calls

  // Two lines come before a body that is made so: the engine counts them off.
  function compile(source) {
    try {
      main = AsyncFunction(source);
      return "";
    } catch (error) {
      return text(error);
    }
  }

  async function go() {
    try {
      const value = await main();
      let told;
      try {
        told = plain(value);
      } catch (error) {
        throw new Wrong("what the script returns has no form in JSON: " + line(error));
      }
      state = '"done","value":' + told;
    } catch (error) {
      state = '"failed","error":' + stringify(why(error));
    }
  }

  function start(message) {
    const told = parse(message);
    spent = told.spent;
    define(world, "args", { value: told.args, writable: false, configurable: false });
    go();
  }

  function deliver(message) {
    const told = parse(message);
    spent = told.spent;
    for (let at = 0; at < told.give.length; at += 1) {
      const one = told.give[at];
      const ends = waiting[one.id];
      delete waiting[one.id];
      if (one.well) ends.resolve(one.value);
      else ends.reject(new Plain(one.value));
    }
  }

  function drain() {
    const told = '{"ops":[' + out + '],"state":' + state + "}";
    if (!over) out = "";
    return told;
  }

  return [compile, start, deliver, drain];
});
//# sourceURL=paseo-prelude
