//! One journal, gone through by both versions.

use std::time::Duration;
use std::time::Instant;

use super::Asked;
use super::CallDifferences;
use super::FindingKind;
use super::Journal;
use super::Told;
use super::Took;
use super::compare::compare;
use super::compare::same_resource;
use super::walk::Part;
use super::walk::Walk;
use super::walk::walk;
use crate::adapter::Adapter;
use crate::domain::AdapterState;
use crate::domain::Step;

/// Waits of one job from which the candidate goes on in the active version's
/// place. Those of a poll are alike.
const HANDOVERS_MAX: usize = 4;

/// Calls of one job whose differences are told: later ones mostly follow from
/// the first.
const CALLS_SHOWN_MAX: usize = 4;

/// The two that are compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Versions<'a> {
    pub active: &'a Adapter,
    pub candidate: &'a Adapter,
}

/// What came of one journal.
#[derive(Debug)]
pub(super) struct Trial {
    pub came: Came,
    /// Where both went all the way.
    pub times: Option<Times>,
    /// The version of a state of the active version that the candidate does
    /// not resume.
    pub unread: Option<u32>,
}

#[derive(Debug)]
pub(super) enum Came {
    Same,
    Otherwise {
        kind: FindingKind,
        calls: Vec<CallDifferences>,
        note: Option<String>,
    },
    /// The active version did not go the way that the job went.
    Strayed(String),
}

/// The time of all calls of a job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub active: Duration,
    pub candidate: Duration,
}

impl Versions<'_> {
    /// Compares them on one journal. None: `until` has passed.
    ///
    /// The active version leads. What it wants on redacted facts is what the
    /// candidate is held against: what it wanted of the real ones may have
    /// depended on what is not there any more. Where it does not even go the way
    /// that the job went, redaction, or another version since, has made
    /// the journal useless.
    pub async fn try_on(&self, journal: &Journal, until: Instant) -> Option<Trial> {
        let whole = Part::whole(journal);
        let lead = walk(self.active, journal, whole, until, |_, _| true).await?;
        if let Some(how) = strayed(journal, &lead) {
            return Some(Trial { came: Came::Strayed(how), times: None, unread: None });
        }
        let stays = |at: usize, asked: &Asked| is_with(&lead.asked[at], asked);
        let followed = walk(self.candidate, journal, whole, until, stays).await?;
        let mut found = Found::default();
        found.compare(journal, &lead.asked, &followed.asked, 0, "");
        let all_the_way = followed.asked.len() == lead.asked.len();
        let times = all_the_way.then_some(Times { active: lead.time, candidate: followed.time });
        let mut unread = None;
        if found.is_nothing() {
            unread = self.hand_over(journal, &lead, until, &mut found).await?;
        }
        Some(Trial { came: found.into_came(), times, unread })
    }

    /// Times both once more, on a journal that both went through. None:
    /// `until` has passed.
    pub async fn time(
        &self,
        journal: &Journal,
        candidate_first: bool,
        until: Instant,
    ) -> Option<Times> {
        let time = async |adapter| {
            let walked = walk(adapter, journal, Part::whole(journal), until, |_, _| true).await?;
            Some(walked.time)
        };
        let first = match candidate_first {
            true => Some(time(self.candidate).await?),
            false => None,
        };
        let active = time(self.active).await?;
        let candidate = match first {
            Some(first) => first,
            None => time(self.candidate).await?,
        };
        Some(Times { active, candidate })
    }

    /// Jobs that wait when versions change are resumed by the new one from a
    /// state of the old one, where it says that it reads it. So the candidate
    /// is given those states, too. Gives the version of one that it does not
    /// claim to read.
    async fn hand_over(
        &self,
        journal: &Journal,
        lead: &Walk,
        until: Instant,
        found: &mut Found,
    ) -> Option<Option<u32>> {
        let mut unread = None;
        for (from, state) in waits(journal, lead).into_iter().take(HANDOVERS_MAX) {
            if !self.candidate.resumes(state.version) {
                unread = Some(state.version);
                continue;
            }
            let behind = journal.calls.iter().skip(from + 1);
            let length = 1 + behind.take_while(|call| call.told != Told::Timer).count();
            let part = Part { from, to: from + length, state: Some(state) };
            let stays = |at: usize, asked: &Asked| is_with(&lead.asked[at], asked);
            let followed = walk(self.candidate, journal, part, until, stays).await?;
            let lead = &lead.asked[from..from + length];
            found.compare(
                journal,
                lead,
                &followed.asked,
                from,
                ", from the active version's state",
            );
        }
        Some(unread)
    }
}

/// Every call that resumes a waiting job, with the state that it waited in.
fn waits<'a>(journal: &Journal, lead: &'a Walk) -> Vec<(usize, &'a AdapterState)> {
    let mut waits = Vec::new();
    let mut waited = None;
    for (at, asked) in lead.asked.iter().enumerate() {
        if journal.calls[at].told == Told::Timer
            && let Some(state) = waited
        {
            waits.push((at, state));
        }
        match asked {
            Ok(Step::Wait(wait)) => waited = Some(&wait.state),
            Ok(Step::Send(_) | Step::Done(_) | Step::Fail(_)) | Err(_) => {}
        }
    }
    waits
}

/// How the active version left the way that the job went, if it did.
fn strayed(journal: &Journal, lead: &Walk) -> Option<String> {
    let took = |asked: &Asked| asked.as_ref().map_or(Took::Broke, Took::of);
    for (at, call) in journal.calls.iter().enumerate() {
        let Some(asked) = lead.asked.get(at) else {
            return Some(format!(
                "the active version comes to an end before {}",
                place(journal, at)
            ));
        };
        let took = took(asked);
        if !took.is_like(&call.took) {
            return Some(format!(
                "at {} the active version takes another way than the job did: {took} instead of {}",
                place(journal, at),
                call.took
            ));
        }
    }
    None
}

/// Whether what the journal tells next is as good an answer to the candidate
/// as it is to the active version.
fn is_with(lead: &Asked, asked: &Asked) -> bool {
    match (lead, asked) {
        (Ok(Step::Send(lead)), Ok(Step::Send(send))) => same_resource(&lead.request, &send.request),
        (Ok(Step::Wait(_)), Ok(Step::Wait(_))) | (Ok(Step::Fail(_)), Ok(Step::Fail(_))) => true,
        (
            Ok(Step::Send(_) | Step::Wait(_) | Step::Done(_) | Step::Fail(_)) | Err(_),
            Ok(Step::Send(_) | Step::Wait(_) | Step::Done(_) | Step::Fail(_)) | Err(_),
        ) => false,
    }
}

/// A call in a few words.
fn place(journal: &Journal, at: usize) -> String {
    let number = at + 1;
    match journal.calls.get(at).map(|call| &call.told) {
        Some(Told::Begin) => format!("call {number} (begin)"),
        Some(Told::Timer) => format!("call {number} (after a wait)"),
        Some(Told::Response(response)) => format!("call {number} (answer {})", response.status),
        Some(Told::Failure { code, .. }) => format!("call {number} (failure: {code})"),
        None => format!("call {number}"),
    }
}

/// Differences of one job.
#[derive(Debug, Default)]
struct Found {
    kind: Option<FindingKind>,
    calls: Vec<CallDifferences>,
    note: Option<String>,
}

impl Found {
    fn is_nothing(&self) -> bool {
        self.kind.is_none()
    }

    /// Takes in what differs between two walks that begin at call `from`.
    fn compare(
        &mut self,
        journal: &Journal,
        lead: &[Asked],
        followed: &[Asked],
        from: usize,
        remark: &str,
    ) {
        for (at, (lead, asked)) in lead.iter().zip(followed).enumerate() {
            let differences = compare(lead, asked);
            if differences.is_empty() {
                continue;
            }
            let kind = match (lead, asked) {
                (Ok(_), Err(_)) => FindingKind::Trap,
                (Err(_), Ok(_)) => FindingKind::Mended,
                (Ok(_), Ok(_)) | (Err(_), Err(_)) => FindingKind::Different,
            };
            // The worst that was seen counts.
            self.kind = Some(self.kind.map_or(kind, |seen| seen.min(kind)));
            if self.calls.len() < CALLS_SHOWN_MAX {
                let at = format!("{}{remark}", place(journal, from + at));
                self.calls.push(CallDifferences { at, differences });
            }
        }
        if followed.len() < lead.len()
            && let Some(Ok(Step::Send(_))) = followed.last()
        {
            self.note.get_or_insert_with(|| {
                "what would come after it is not known, as nobody has asked that: the comparison of \
                 this job ends here"
                    .to_owned()
            });
        }
    }

    fn into_came(self) -> Came {
        match self.kind {
            None => Came::Same,
            Some(kind) => Came::Otherwise { kind, calls: self.calls, note: self.note },
        }
    }
}
