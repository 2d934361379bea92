//! Asking a venue from the command line: one client, within the venue's weight, signed where there is a key.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;

use crate::config::{Config, VenueConfig};
use crate::engine::keys;
use crate::model::{RestRefusal, RestRequest};
use crate::venue::{Credentials, Venue};
use crate::wire::rest::{RestClient, RestConfig, RestError, RestLimits, RestResponse};
use crate::wire::{BudgetConfig, Grant, Priority, TlsSetup, WeightBudget, clock};

use super::{Fault, Faulty};

/// Where a venue is asked, and how.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Reaching the venue")]
pub struct Reach {
    /// REST base instead of the venue's own: a proxy, a testnet, a simulator (plain http on loopback only).
    #[arg(long, value_name = "URL")]
    pub rest: Option<String>,
    /// PEM file of a further certificate authority.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// HTTP proxy to CONNECT through.
    #[arg(long, value_name = "HOST:PORT")]
    pub proxy: Option<String>,
    /// File with key and secret, of mode 600, for venues that want requests signed; variables such as
    /// LOBTAPE_PUMPKIN_PERP_KEY and …_SECRET go over it.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// All this stands in a configuration, in the part of this venue: remedies name its keys and no flags.
    #[arg(skip)]
    pub configured: Option<VenueConfig>,
}

impl Reach {
    /// How a venue of a configuration is reached.
    pub fn of(config: &Config, venue: &VenueConfig) -> Reach {
        Reach {
            rest: venue.rest.clone(),
            ca: config.tls.ca.clone(),
            proxy: config.proxy.clone(),
            key_file: venue.key_file.clone(),
            configured: Some(venue.clone()),
        }
    }

    /// What to write where something of this is to be another one, for people.
    fn names(&self) -> Names {
        match self.configured.is_some() {
            true => {
                Names { rest: "rest of its [[venue]]", proxy: "proxy", key_file: "key_file of its [[venue]]" }
            }
            false => Names { rest: "--rest", proxy: "--proxy", key_file: "--key-file" },
        }
    }

    /// Whom to trust.
    ///
    /// # Errors
    /// A file that is no certificate authority (code 1).
    pub fn tls(&self) -> anyhow::Result<TlsSetup> {
        let extra = match &self.ca {
            None => Vec::new(),
            Some(p) => {
                let name = if self.configured.is_some() { "tls.ca" } else { "--ca" };
                vec![std::fs::read(p).map_err(|e| Fault::usage(anyhow!("{name} {}: {e}", p.display())))?]
            }
        };
        TlsSetup::new(&extra).or_usage()
    }
}

/// Flags or keys.
#[derive(Clone, Copy, Debug)]
struct Names {
    rest: &'static str,
    proxy: &'static str,
    key_file: &'static str,
}

/// A venue that can be asked.
pub struct Asker {
    /// The venue.
    pub venue: &'static dyn Venue,
    client: RestClient,
    budget: WeightBudget,
    key: Option<Credentials>,
    names: Names,
}

impl Asker {
    /// Prepares all; asks nothing yet.
    ///
    /// # Errors
    /// A base that cannot be one, no base where the venue's is not known, a key file that may be read by others (code 1).
    pub fn new(venue: &'static dyn Venue, reach: &Reach) -> anyhow::Result<Asker> {
        let spec = venue.spec();
        if reach.rest.is_none() && !spec.hosts_known {
            return Err(Fault::usage(anyhow!(
                "{}: its hosts are not documented; name them: --rest https://…",
                spec.id
            )));
        }
        let client = RestClient::new(RestConfig {
            base: reach.rest.clone().unwrap_or_else(|| spec.rest.to_owned()),
            proxy: reach.proxy.as_ref().map(|p| format!("http://{p}")),
            tls: reach.tls()?,
            weight_header: spec.weight_header.to_owned(),
            limits: RestLimits::default(),
        })
        .or_usage()?;
        let env = |name: &str| std::env::var(name).ok();
        let key = match &reach.configured {
            Some(venue) => keys::load(venue, &env),
            None => keys::of(spec.id, reach.key_file.as_deref(), &env),
        };
        let key = key.or_usage()?;
        let pace = BudgetConfig { per_second: spec.rest_per_s, ..BudgetConfig::new(spec.weight_per_minute) };
        let budget = WeightBudget::new(pace);
        Ok(Asker { venue, client, budget, key, names: reach.names() })
    }

    /// The base of what is asked.
    pub fn base(&self) -> &str {
        self.client.base()
    }

    /// The venue's own figure of its limit, weight per minute; 0 is ignored.
    pub fn set_limit(&mut self, weight_per_minute: u32) {
        self.budget.set_limit(weight_per_minute);
    }

    /// Whether a request is signed.
    pub fn signs(&self) -> bool {
        self.key.is_some()
    }

    /// Waits until the venue's pace lets another request go; returns when that is.
    #[allow(clippy::disallowed_methods, reason = "the pace of requests is a time and nothing but a time")]
    fn wait_for_its_turn(&self) -> i64 {
        let now = clock::mono_ns();
        let Some(at) = self.budget.paced_until(now) else { return now };
        // One request after the other, and nobody else to hear of: only the time itself can be waited for.
        std::thread::sleep(Duration::from_nanos((at - now).unsigned_abs()));
        at.max(clock::mono_ns())
    }

    /// Asks, whatever the answer is, no sooner than the venue's pace allows. `None`: the venue's budget does not allow it now.
    ///
    /// # Errors
    /// There is no whole answer.
    pub fn try_get(&mut self, r: &RestRequest) -> Result<Option<Answer>, RestError> {
        let now = self.wait_for_its_turn();
        if self.budget.grant(now, r.weight, Priority::Vital) != Grant::Granted {
            return Ok(None);
        }
        let headers = self.key.as_ref().map_or_else(Vec::new, |k| self.venue.sign(&r.path, k));
        let got = self.client.get_with(&r.path, &headers)?;
        let refusal = self.venue.refusal(got.status, &got.body);
        let status = refusal.map_or(got.status, |r| r.status);
        let wait = refusal.and_then(|r| r.retry_after_s).or(got.retry_after_s);
        self.budget.on_response(got.mono_recv, got.mono_sent, status, got.used_weight, wait);
        Ok(Some(Answer { response: RestResponse { retry_after_s: wait, ..got }, refusal }))
    }

    /// Asks and takes nothing but success.
    ///
    /// # Errors
    /// No answer, a refusal (code 3); each says what to do.
    pub fn get(&mut self, r: &RestRequest) -> anyhow::Result<RestResponse> {
        let id = self.venue.spec().id;
        let Names { rest, proxy, .. } = self.names;
        let unreached = |e: RestError| {
            Fault::io(anyhow!("{id}: {e}; another host can be named with {rest}, a proxy with {proxy}"))
        };
        let Some(got) = self.try_get(r).map_err(unreached)? else {
            return Err(Fault::io(anyhow!("{id}: its request budget is spent; try again in a minute")));
        };
        match got.fault() {
            None => Ok(got.response),
            Some(fault) => {
                // A redirect says itself what to do.
                let remedy = match got.response.redirect() {
                    Some(_) => String::new(),
                    None => format!("; {}", self.remedy(&got)),
                };
                Err(Fault::io(anyhow!("{id}: {}{} answered {fault}{remedy}", self.client.base(), r.path)))
            }
        }
    }

    /// What to do about an answer that is none.
    fn remedy(&self, got: &Answer) -> String {
        let env = keys::variable(self.venue.spec().id, "KEY");
        let Names { rest, proxy, key_file } = self.names;
        let wait = got.response.retry_after_s;
        // What the body says counts; what its code means was said already.
        let waits = got.refusal.is_none_or(|r| r.status == 429);
        match (got.refusal.map_or(got.response.status, |r| r.status), wait) {
            (418, _) if !waits && self.signs() => {
                "the key, its rights or its list of addresses may be wrong".to_owned()
            }
            (418, _) if !waits => {
                format!("if it wants a key: {key_file}, or {env} and its _SECRET in the environment")
            }
            (418 | 429, Some(s)) => format!("too many requests from this address: try again in {s} s"),
            (418 | 429, None) => "too many requests from this address: try again in some minutes".to_owned(),
            (403, _) => "its firewall refuses this address: wait an hour, or use another one".to_owned(),
            (451, _) => format!("it does not serve this region: {proxy} or {rest} name another way"),
            (500.., _) => "its fault, most likely: try again later".to_owned(),
            _ if !self.signs() => {
                format!("if it wants a key: {key_file}, or {env} and its _SECRET in the environment")
            }
            _ => "the key, its rights or the host may be wrong".to_owned(),
        }
    }
}

/// What came of a request.
#[derive(Debug)]
pub struct Answer {
    /// The answer; how long to wait is the body's word where it has one.
    pub response: RestResponse,
    /// What the body says instead of the status.
    pub refusal: Option<RestRefusal>,
}

impl Answer {
    /// What is wrong with it: its status, the venue's own code and what that means, the beginning of the body.
    pub fn fault(&self) -> Option<String> {
        let (r, body) = (&self.response, head(&self.response.body));
        match self.refusal {
            Some(said) => Some(format!("{} with code {} ({}): {body:?}", r.status, said.code, said.why)),
            None if r.status != 200 => Some(match r.redirect() {
                Some(redirect) => format!("{}: {redirect}", r.status),
                None => format!("{} {body:?}", r.status),
            }),
            None => None,
        }
    }
}

/// The beginning of a body, for people.
pub fn head(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
