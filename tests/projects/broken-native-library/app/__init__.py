import ctypes

import dagster

GDAL = ctypes.CDLL("libgdal.so.32")
defs = dagster.Definitions()
