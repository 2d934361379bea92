//! Where the parts of a `[[venue]]` are written, for faults that are found only when venues are asked.

/// Places as `file:line`. What is written elsewhere but says the same is the same: two of these are always equal.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The file.
    pub file: String,
    /// Line of the id, from 1; 0 = none.
    pub id: usize,
    /// Line of the symbols.
    pub symbols: usize,
    /// Line of the polls.
    pub polls: usize,
    /// The channels with their lines.
    pub channels: Vec<(String, usize)>,
    /// Keys that are about the venue itself, with their lines.
    pub keys: Vec<(&'static str, usize)>,
}

impl PartialEq for Places {
    fn eq(&self, _: &Places) -> bool {
        true
    }
}

impl Places {
    /// `file:line`, or the file alone where the line is not known.
    pub fn at(&self, line: usize) -> String {
        if line == 0 { self.file.clone() } else { format!("{}:{line}", self.file) }
    }

    /// The line of a key that is about the venue itself, else that of the id.
    pub fn key(&self, key: &str) -> usize {
        self.keys.iter().find(|(k, _)| *k == key).map_or(self.id, |(_, line)| *line)
    }

    /// The line of a channel, else that of the id.
    pub fn channel(&self, name: &str) -> usize {
        self.channels.iter().find(|(c, _)| c == name).map_or(self.id, |(_, line)| *line)
    }
}
