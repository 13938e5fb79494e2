// What we use of JupyterLab 4, and no more: its packages would bring hundreds of others along.

declare const PANEL_CSS: string;

declare module "@lumino/widgets" {
  export class Widget {
    constructor(options?: { node?: HTMLElement });
    id: string;
    readonly node: HTMLElement;
    readonly isDisposed: boolean;
    readonly isVisible: boolean;
    readonly isAttached: boolean;
    readonly disposed: Signal<unknown>;
    readonly title: { label: string; caption: string; icon: unknown; closable: boolean; className: string; dataset: Record<string, string> };
    addClass(name: string): void;
    dispose(): void;
    protected onAfterShow(message: unknown): void;
  }
  interface Signal<T> {
    connect(slot: (sender: any, args: T) => void): boolean;
  }
}

declare module "@jupyterlab/ui-components" {
  export class LabIcon {
    constructor(options: { name: string; svgstr: string });
  }
}

declare module "@jupyterlab/coreutils" {
  export const URLExt: { join(...parts: string[]): string };
}

declare module "@jupyterlab/services" {
  export namespace ServerConnection {
    interface ISettings {
      baseUrl: string;
    }
    function makeSettings(): ISettings;
    function makeRequest(url: string, init: RequestInit, settings: ISettings): Promise<Response>;
  }
}

declare module "@jupyterlab/application" {
  import { Widget } from "@lumino/widgets";
  export interface JupyterFrontEnd {
    commands: {
      addCommand(id: string, options: { label: string | ((args: any) => string); caption?: string; icon?: unknown; execute: (args: any) => unknown; isEnabled?: () => boolean; describedBy?: unknown }): void;
      execute(id: string, args?: any): Promise<any>;
    };
    shell: { add(widget: Widget, area: string, options?: { rank?: number; mode?: string }): void; activateById(id: string): void };
    serviceManager: { contents: { localPath(path: string): string } };
    restored: Promise<void>;
  }
  export interface JupyterFrontEndPlugin<T> {
    id: string;
    description: string;
    autoStart: boolean;
    requires?: unknown[];
    optional?: unknown[];
    activate: (app: JupyterFrontEnd, ...given: any[]) => T;
  }
  export interface ILayoutRestorer {
    add(widget: Widget, name: string): void;
  }
  export const ILayoutRestorer: unknown;
}

declare module "@jupyterlab/apputils" {
  import { Widget } from "@lumino/widgets";
  export interface ICommandPalette {
    addItem(item: { command: string; category: string }): void;
  }
  export const ICommandPalette: unknown;
  export class MainAreaWidget<T extends Widget> extends Widget {
    constructor(options: { content: T });
    readonly content: T;
  }
  export namespace Notification {
    interface IOptions {
      autoClose?: number | false;
      actions?: { label: string; callback: () => void; displayType?: "default" | "accent" | "warn" | "link" }[];
    }
    function emit(message: string, type: "info" | "success" | "warning" | "error", options?: IOptions): string;
    function dismiss(id: string): void;
  }
  export namespace InputDialog {
    function getItem(options: { title: string; items: string[]; okLabel?: string }): Promise<{ button: { accept: boolean }; value: string | null }>;
  }
}

declare module "@jupyterlab/launcher" {
  export interface ILauncher {
    add(item: { command: string; category: string; rank?: number }): void;
  }
  export const ILauncher: unknown;
}

declare module "@jupyterlab/settingregistry" {
  export interface ISettingRegistry {
    load(id: string): Promise<{ composite: Record<string, unknown>; changed: { connect(slot: () => void): boolean } }>;
  }
  export const ISettingRegistry: unknown;
}

declare module "@jupyterlab/notebook" {
  import { Signal, Widget } from "@lumino/widgets";
  export interface Output {
    readonly type: string;
    readonly data: Record<string, unknown>;
    readonly metadata: Record<string, any>;
    toJSON(): any;
  }
  export interface Outputs {
    readonly length: number;
    get(index: number): Output;
    add(output: any): number;
    set(index: number, output: any): void;
    toJSON(): any[];
    fromJSON(values: any[]): void;
    readonly changed: Signal<unknown>;
  }
  export interface Future {
    readonly done: Promise<{ content: { status: string; ename?: string; evalue?: string } }>;
  }
  export interface Kernel {
    readonly status: string;
    requestExecute(content: Record<string, unknown>, disposeOnDone?: boolean): Future;
  }
  export interface Cell extends Widget {
    readonly ready: Promise<void>;
    readonly model: { readonly id: string; trusted: boolean; readonly type: string; readonly outputs: Outputs; readonly sharedModel: { setSource(text: string): void } };
    readonly outputArea: Widget & { future: Future };
  }
  export interface Session {
    readonly ready: Promise<void>;
    readonly session: { readonly kernel: Kernel | null } | null;
  }
  export interface Notebook extends Widget {
    readonly widgets: readonly Cell[];
    readonly activeCell: Cell | null;
    readonly model: { readonly cells: { readonly changed: Signal<unknown> } } | null;
  }
  export interface NotebookPanel extends Widget {
    readonly content: Notebook;
    readonly context: { readonly path: string; readonly ready: Promise<void> };
    readonly sessionContext: Session;
  }
  export interface INotebookTracker {
    readonly currentWidget: NotebookPanel | null;
    readonly currentChanged: Signal<NotebookPanel | null>;
    readonly widgetAdded: Signal<NotebookPanel>;
    forEach(look: (panel: NotebookPanel) => void): void;
  }
  export const INotebookTracker: unknown;
  export const NotebookActions: {
    insertBelow(notebook: Notebook): void;
    run(notebook: Notebook, session: Session): Promise<boolean>;
  };
}
