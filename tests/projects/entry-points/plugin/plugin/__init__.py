NAME = "from_plugin_"
