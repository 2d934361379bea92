//! Records on disk: format, writer, reader, salvage of the raw ring.
