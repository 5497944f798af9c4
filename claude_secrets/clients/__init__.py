"""The MCP clients: their configuration files, and the way in which each client starts a server."""
