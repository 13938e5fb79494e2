"""The detached entry: `python -I -S __main__.py --path DIR:DIR RUN_DIR [RUN_DIR …]`.

Isolated on purpose (`-I -S`): only the folders of paseo_nb and msgspec are put on the path, so
that a user's PYTHONPATH, user site or `.pth` files cannot change what supervises an agent.
"""

import os
import sys

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--path"]:
        sys.path += [part for part in arguments[1].split(os.pathsep) if part]
        del arguments[:2]
    from paseo_nb.supervisor.entry import main

    main(arguments)
