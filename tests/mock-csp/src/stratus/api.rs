//! The answers of the Stratus API.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use serde_json::Value;
use serde_json::json;

use super::BROKEN_ALIAS;
use super::Options;
use super::busy;
use super::charges;
use super::data;
use super::fault;
use super::route::Operation;
use super::rules;
use super::rules::InvalidRequest;
use super::rules::ValidRequest;
use crate::server::Answer;
use crate::server::Behaviour;
use crate::server::Call;
use crate::server::Reply;

/// The largest number of things of one kind. A client that makes so many makes
/// them by mistake.
const THINGS_MAX: usize = 100_000;

/// The API of one CSP.
pub struct Api {
    options: Options,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The number of things made so far, from which the next id comes.
    made: u64,
    tenants: BTreeMap<String, Value>,
    accounts: BTreeMap<String, Account>,
    operations: BTreeMap<String, Work>,
    /// Requests with the header `Stratus-Once`, each with its answer.
    once: BTreeMap<String, (String, Value)>,
    /// The number of times that each call was put off.
    put_off: BTreeMap<String, u32>,
}

struct Account {
    shown: Value,
    is_ready: bool,
}

/// An operation.
struct Work {
    /// The account that the operation makes, if it makes one.
    account: Option<String>,
    polls_left: u32,
    breaks: bool,
}

/// A request that cannot be granted, and whether that breaks a rule.
struct Fault {
    kind: &'static str,
    text: String,
    breaks_rule: bool,
}

impl Api {
    pub fn new(options: Options) -> Self {
        Self { options, state: Mutex::default() }
    }

    pub fn accounts(&self) -> usize {
        self.state().accounts.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grant(&self, call: &Call, valid: ValidRequest) -> Reply {
        let mut state = self.state();
        if self.options.busy > 0 {
            let times = state.put_off.entry(call.line()).or_default();
            if *times < self.options.busy {
                *times += 1;
                return Reply::valid(busy(self.options.busy_ms));
            }
        }
        if valid.operation == Operation::ReadCharges {
            return self.charges(&valid);
        }
        match state.do_once(&self.options, call, valid) {
            Ok(shown) => Reply::valid(data(&shown)),
            Err(Fault { kind, text, breaks_rule }) => Reply {
                answer: fault(kind, &text),
                broken: if breaks_rule { vec![text] } else { Vec::new() },
            },
        }
    }

    fn charges(&self, valid: &ValidRequest) -> Reply {
        match charges::page(&valid.query, self.options.page_size) {
            Some((shown, next)) => {
                let mut body = json!({ "data": shown });
                if let Some(next) = next {
                    body["next"] = json!(next);
                }
                Reply::valid(Answer::json(200, &body))
            }
            None => {
                let text = "`page` is no token that was given".to_owned();
                Reply { answer: fault("malformed", &text), broken: vec![text] }
            }
        }
    }
}

impl State {
    /// Carries out the request, or repeats the answer to an earlier one.
    fn do_once(
        &mut self,
        options: &Options,
        call: &Call,
        valid: ValidRequest,
    ) -> Result<Value, Fault> {
        let Some(once) = valid.once.clone() else { return self.grant(options, valid) };
        let asked = format!("{} {}", call.line(), valid.body);
        match self.once.get(&once) {
            Some((before, answer)) if *before == asked => Ok(answer.clone()),
            Some(_) => Err(Fault {
                kind: "taken",
                text: format!("`{once}` has made something else"),
                breaks_rule: true,
            }),
            None => {
                let answer = self.grant(options, valid)?;
                if self.once.len() < THINGS_MAX {
                    self.once.insert(once, (asked, answer.clone()));
                }
                Ok(answer)
            }
        }
    }

    fn grant(&mut self, options: &Options, valid: ValidRequest) -> Result<Value, Fault> {
        let ValidRequest { operation, ids, mut body, .. } = valid;
        let id = ids.into_iter().next().unwrap_or_default();
        match operation {
            Operation::MakeTenant => {
                let tenant = self.name("tenant");
                body["tenantId"] = json!(tenant);
                self.tenants.insert(tenant.clone(), body);
                let work = Work { account: None, polls_left: options.polls, breaks: false };
                Ok(json!({"tenantId": tenant, "operationId": self.begin(work)}))
            }
            // Tests ask for portfolios that were never made.
            Operation::ReadTenant => Ok(self.tenants.get(&id).cloned().unwrap_or_else(
                || json!({"tenantId": id, "label": format!("Tenant {id}"), "fundings": []}),
            )),
            Operation::MakeAccount => self.make_account(options, &id, body),
            Operation::ReadAccount => Ok(self.account(&id)?.shown.clone()),
            Operation::PutContacts => {
                let account = self.account(&id)?;
                if !account.is_ready {
                    let text = format!("the account {id} is not made yet");
                    return Err(Fault { kind: "absent", text, breaks_rule: true });
                }
                account.shown["contacts"] = body["contacts"].clone();
                Ok(body)
            }
            Operation::MakeFunding => {
                body["fundingId"] = json!(self.name("funding"));
                Ok(body)
            }
            Operation::Poll => self.poll(&id),
            Operation::ReadCharges => unreachable!("charges are fixed"),
        }
    }

    fn make_account(
        &mut self,
        options: &Options,
        tenant: &str,
        mut body: Value,
    ) -> Result<Value, Fault> {
        if self.accounts.len() >= THINGS_MAX {
            let text = "no more accounts".to_owned();
            return Err(Fault { kind: "depleted", text, breaks_rule: false });
        }
        let account = self.name("account");
        let breaks = body["alias"] == BROKEN_ALIAS;
        body["accountId"] = json!(account);
        body["tenantId"] = json!(tenant);
        body["contacts"] = json!([]);
        self.accounts.insert(account.clone(), Account { shown: body, is_ready: false });
        let work = Work { account: Some(account.clone()), polls_left: options.polls, breaks };
        Ok(json!({"accountId": account, "operationId": self.begin(work)}))
    }

    fn account(&mut self, id: &str) -> Result<&mut Account, Fault> {
        let text = format!("there is no account {id}");
        let absent = Fault { kind: "absent", text, breaks_rule: false };
        self.accounts.get_mut(id).ok_or(absent)
    }

    fn begin(&mut self, work: Work) -> String {
        let operation = self.name("operation");
        if self.operations.len() >= THINGS_MAX {
            self.operations.pop_first();
        }
        self.operations.insert(operation.clone(), work);
        operation
    }

    fn poll(&mut self, id: &str) -> Result<Value, Fault> {
        let Some(work) = self.operations.get_mut(id) else {
            let text = format!("there is no operation {id}");
            return Err(Fault { kind: "absent", text, breaks_rule: false });
        };
        if work.polls_left > 0 {
            work.polls_left -= 1;
            return Ok(json!({"operationId": id, "state": "RUNNING", "checkInMs": 100}));
        }
        if work.breaks {
            let reason = "the account cannot be made";
            return Ok(json!({"operationId": id, "state": "BROKEN", "reason": reason}));
        }
        let account = work.account.as_ref().and_then(|account| self.accounts.get_mut(account));
        if let Some(account) = account {
            account.is_ready = true;
        }
        Ok(json!({"operationId": id, "state": "DONE"}))
    }

    fn name(&mut self, what: &str) -> String {
        self.made += 1;
        format!("{what}-{}", self.made)
    }
}

impl Behaviour for Api {
    fn answer(&self, call: &Call) -> Reply {
        let reply = match rules::validate(call, &self.options.key) {
            Ok(valid) => self.grant(call, valid),
            Err(InvalidRequest { status: 200, broken }) => {
                Reply { answer: fault("malformed", &broken.join("; ")), broken }
            }
            Err(InvalidRequest { status, broken }) => {
                Reply { answer: Answer::json(status, &json!({"errors": broken})), broken }
            }
        };
        Reply { answer: reply.answer.after(self.options.delay), ..reply }
    }
}
