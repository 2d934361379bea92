//! What a client says on its WebSocket, and the venue's replies: SUBSCRIBE and its relatives, limits, routes.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use serde_json::Value;

use super::outbound::{Conn, End, Message};
use super::streams::{self, Channel, Scope, Wanted};
use super::strike::log_conn;
use super::text::escaped;
use super::world::{Hold, Sub, World};
use crate::model::dialect::{ErrorShape, TooManyStreams};

const METHODS: &str = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`";

/// Where a path leads: route, whether wrapped, names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub public: bool,
    pub market: bool,
    pub combined: bool,
    pub names: Vec<String>,
}

impl World {
    /// Reads the path of an upgrade request. `None`: no WebSocket is served there.
    pub(super) fn entry(&self, target: &str) -> Option<Entry> {
        let (path, _) = target.split_once('?').unwrap_or((target, ""));
        if self.shape.d.words.is_some() {
            let served = self.shape.d.routes.iter().any(|r| r.prefix.is_empty() || r.prefix == path);
            return served.then(|| Entry { public: true, market: true, combined: false, names: Vec::new() });
        }
        let route = self.shape.d.routes.iter().find(|r| !r.prefix.is_empty() && path.starts_with(r.prefix));
        let route = route.or_else(|| self.shape.d.routes.iter().find(|r| r.prefix.is_empty()))?;
        let rest = path.strip_prefix(route.prefix)?;
        let split =
            |s: &str| -> Vec<String> { s.split('/').filter(|n| !n.is_empty()).map(str::to_owned).collect() };
        let (combined, names) = if rest == "/stream" || rest == "/stream/" {
            let q = super::http::query(target);
            (true, q.iter().filter(|p| p.0 == "streams").flat_map(|p| split(&p.1)).collect())
        } else if rest == "/ws" || rest.starts_with("/ws/") {
            (false, split(&super::http::decode(&rest[3..])))
        } else {
            return None;
        };
        Some(Entry { public: route.public, market: route.market, combined, names })
    }

    /// Notes a message of the client. False: it was one too many and the connection is being closed.
    pub(super) fn hears(&mut self, conn: &Conn, is_control: bool) -> bool {
        let d = self.shape.d;
        if is_control && !d.control_frames_count {
            return true;
        }
        let max = self.cfg.client_messages_per_s.unwrap_or(d.client_messages_per_s) as usize;
        let now = self.now;
        let over = {
            let mut s = conn.side.borrow_mut();
            while s.heard.front().is_some_and(|t| now - t >= 1000) {
                s.heard.pop_front();
            }
            s.heard.push_back(now);
            s.heard.len() > max
        };
        if over {
            conn.finish(End::Close(1008, "Too many requests".to_owned()));
        }
        !over
    }

    pub(super) fn reply(&mut self, conn: &Conn, text: &str) {
        self.say_to(conn, text);
    }

    /// A text that belongs to no stream.
    pub(super) fn say_to(&self, conn: &Conn, text: &str) {
        self.say_as(conn, "", text, b",\"kind\":\"reply\"");
    }

    /// A text that was asked for; `line` is what the log says of it.
    pub(super) fn say_as(&self, conn: &Conn, stream: &str, text: &str, line: &[u8]) {
        let m = Message { stream, data: text.as_bytes(), line, fault: None, dropped: false };
        conn.push(m, self.oracle.on(), self.cfg.oracle_payload);
    }

    fn reply_error(&mut self, conn: &Conn, code: u32, msg: &str, id: Option<&Value>) {
        let msg = escaped(msg);
        let id = id.map_or("null".to_owned(), Value::to_string);
        let text = match self.shape.d.errors {
            ErrorShape::Flat => format!("{{\"code\":{code},\"msg\":\"{msg}\"}}"),
            ErrorShape::Nested => format!("{{\"error\":{{\"code\":{code},\"msg\":\"{msg}\"}},\"id\":{id}}}"),
        };
        self.reply(conn, &text);
    }

    /// Answers one text message.
    pub(super) fn on_text(&mut self, conn: &Rc<Conn>, text: &str) {
        match self.shape.d.words {
            Some(words) => self.foreign_text(conn, words, text),
            None => self.on_request(conn, text),
        }
    }

    fn on_request(&mut self, conn: &Rc<Conn>, text: &str) {
        let v: Value = match serde_json::from_str(text) {
            Ok(v) => v,
            Err(e) => {
                let msg = format!("Invalid JSON: expected value at line {} column {}", e.line(), e.column());
                return self.reply_error(conn, 3, &msg, None);
            }
        };
        let end = text.len();
        let invalid = |what: &str| format!("Invalid request: {what}");
        let Some(method) = v.get("method").and_then(Value::as_str) else {
            let msg = invalid(&format!("missing field `method` at line 1 column {end}"));
            return self.reply_error(conn, 2, &msg, None);
        };
        let any = self.shape.d.prints.any_request_id;
        let id = match v.get("id") {
            Some(id) if id.is_u64() => id.clone(),
            Some(id)
                if any && (id.is_i64() || id.is_null() || id.as_str().is_some_and(|s| s.len() <= 36)) =>
            {
                id.clone()
            }
            None if any => Value::Null,
            _ => {
                return self.reply_error(conn, 2, &invalid("request ID must be an unsigned integer"), None);
            }
        };
        let none = Vec::new();
        let params = v.get("params").and_then(Value::as_array).unwrap_or(&none);
        let names: Option<Vec<String>> = params.iter().map(|p| p.as_str().map(str::to_owned)).collect();
        match method {
            "SUBSCRIBE" | "UNSUBSCRIBE" => {
                let Some(names) = names else {
                    return self.reply_error(conn, 2, &invalid("stream name must be a string"), Some(&id));
                };
                let most = self.shape.d.names_per_subscribe_max;
                if most > 0 && names.len() > most {
                    return conn.finish(End::Close(3001, "illegal request".to_owned()));
                }
                if self.shape.d.refuses_bad_names && names.iter().any(|n| self.wanted(n).is_none()) {
                    return self.reply_error(conn, 2, &invalid("invalid stream"), Some(&id));
                }
                if method == "UNSUBSCRIBE" {
                    self.unsubscribe(conn, &names);
                } else if !self.subscribe(conn, &names, Some(&id)) {
                    return;
                }
                self.reply(conn, &format!("{{\"result\":null,\"id\":{id}}}"));
            }
            "LIST_SUBSCRIPTIONS" => {
                let list: Vec<String> = conn.side.borrow().subs.keys().cloned().collect();
                // Infallible: a list of strings.
                let list = serde_json::to_string(&list).unwrap_or_default();
                self.reply(conn, &format!("{{\"result\":{list},\"id\":{id}}}"));
            }
            "SET_PROPERTY" | "GET_PROPERTY" => self.property(conn, method == "SET_PROPERTY", params, &id),
            other => {
                let msg = invalid(&format!(
                    "unknown variant `{other}`, expected one of {METHODS} at line 1 column {}",
                    text.find(other).map_or(end, |i| i + other.len() + 1)
                ));
                self.reply_error(conn, 2, &msg, Some(&id));
            }
        }
    }

    fn property(&mut self, conn: &Conn, set: bool, params: &[Value], id: &Value) {
        let most = if set { 2 } else { 1 };
        let Some(name) = params.first().and_then(Value::as_str) else {
            return self.reply_error(conn, 2, "Invalid request: property name must be a string", Some(id));
        };
        if params.len() > most {
            return self.reply_error(conn, 2, "Invalid request: too many parameters", Some(id));
        }
        if name != "combined" {
            return self.reply_error(conn, 0, "Unknown property", Some(id));
        }
        if !set {
            let now = conn.side.borrow().combined;
            return self.reply(conn, &format!("{{\"result\":{now},\"id\":{id}}}"));
        }
        let Some(on) = params.get(1).and_then(Value::as_bool) else {
            return self.reply_error(conn, 1, "Invalid value type: expected Boolean", Some(id));
        };
        conn.side.borrow_mut().combined = on;
        self.reply(conn, &format!("{{\"result\":null,\"id\":{id}}}"));
    }

    fn wanted(&self, name: &str) -> Option<Wanted> {
        if self.recording.is_some() {
            // A recording has what it has; all other names are silent.
            let silent = Wanted { scope: Scope::Nobody, channel: Channel::Silent };
            let read = streams::parse(self.shape.d, &self.by_name, &self.by_pair, name)?;
            return Some(Wanted { scope: silent.scope, ..read });
        }
        streams::parse(self.shape.d, &self.by_name, &self.by_pair, name)
    }

    /// Adds streams. False: there are too many, and the connection is being closed.
    pub(super) fn subscribe(&mut self, conn: &Rc<Conn>, names: &[String], id: Option<&Value>) -> bool {
        let d = self.shape.d;
        let max = self.cfg.streams_max.unwrap_or(d.streams_max);
        let new: Vec<&String> = {
            let side = conn.side.borrow();
            let mut new: Vec<&String> = names.iter().filter(|n| !side.subs.contains_key(*n)).collect();
            new.sort_unstable();
            new.dedup();
            if side.subs.len() + new.len() > max { Vec::new() } else { new }
        };
        if new.is_empty() && names.iter().any(|n| !conn.side.borrow().subs.contains_key(n)) {
            match d.too_many_streams {
                TooManyStreams::Close(code, reason) => conn.finish(End::Close(code, reason.to_owned())),
                TooManyStreams::Code4 => {
                    self.reply_error(conn, 4, "Too many subscriptions", id);
                    conn.finish(End::Close(1008, "Too many subscriptions".to_owned()));
                }
                TooManyStreams::Refuse(text) => self.reply(conn, text),
            }
            return false;
        }
        for name in &new {
            let silent = Wanted { scope: Scope::Nobody, channel: Channel::Silent };
            let wanted = self.wanted(name).unwrap_or(silent);
            let ix = self.stream_ix(name, wanted);
            conn.side.borrow_mut().subs.insert((*name).clone(), ix);
            let flows = if wanted.channel.is_public() { conn.public } else { conn.market };
            if flows {
                self.streams[ix].fresh = true;
                self.streams[ix].subs.push(Sub {
                    conn: conn.clone(),
                    ordinal: 0,
                    told: false,
                    struck: None,
                    hold: Hold::No,
                    held: Vec::new(),
                });
            }
        }
        if !new.is_empty() {
            self.t0.get_or_insert(self.now);
            self.stats.subscriptions.fetch_add(new.len() as u64, Ordering::Relaxed);
            self.log_streams("sub", conn.no, &new);
        }
        true
    }

    fn log_streams(&mut self, k: &str, conn: u64, names: &[&String]) {
        // Infallible: a list of strings.
        let list = serde_json::to_string(names).unwrap_or_default();
        log_conn(self, k, conn, |line| {
            line.extend_from_slice(b",\"streams\":");
            line.extend_from_slice(list.as_bytes());
        });
    }

    pub(super) fn unsubscribe(&mut self, conn: &Rc<Conn>, names: &[String]) {
        let mut gone = Vec::new();
        for name in names {
            let ix = conn.side.borrow_mut().subs.remove(name);
            if let Some(ix) = ix {
                self.streams[ix].subs.retain(|s| s.conn.no != conn.no);
                gone.push(name);
            }
        }
        if !gone.is_empty() {
            self.stats.subscriptions.fetch_sub(gone.len() as u64, Ordering::Relaxed);
            self.log_streams("unsub", conn.no, &gone);
        }
    }

    /// Forgets a connection that has ended.
    pub(super) fn forget(&mut self, conn: &Rc<Conn>) {
        let subs = std::mem::take(&mut conn.side.borrow_mut().subs);
        for &ix in subs.values() {
            self.streams[ix].subs.retain(|s| s.conn.no != conn.no);
        }
        self.stats.subscriptions.fetch_sub(subs.len() as u64, Ordering::Relaxed);
        if self.conns.remove(&conn.no).is_some() {
            self.stats.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
