"""Everything that touches a site: sockets, the media engine's process, captures. Level 3.

Import the modules by name (`net.mmsg`, `net.engine`, …): this file stays empty so that the engine's process, which
needs numpy and sockets only, doesn't load the rest.
"""
