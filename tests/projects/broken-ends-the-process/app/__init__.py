import os

import dagster

if not os.path.exists("/etc/app/license.key"):
    os._exit(7)

defs = dagster.Definitions()
