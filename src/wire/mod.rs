//! Bytes in, stamped at the socket: pinned readers, TLS, WebSocket, limits; REST is the cold side.
