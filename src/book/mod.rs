//! Books and their proof: sequencer, ladder, resync states, and the slow twin that tests hold them against.
