"""Import a package and say its version: the default command of its image. It fails as the import fails."""

import importlib
import importlib.metadata
import os
import sys

for name in os.environ["IMPORT_NAMES"].split():
    importlib.import_module(name)
package = os.environ["PACKAGE"]
sys.stdout.write(f"{package} {importlib.metadata.version(package)}\n")
