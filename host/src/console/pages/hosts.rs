//! Hosts: this one, with its version, roles and room on the disk, and its peers.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Query;
use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;

use super::Mood;
use super::act;
use super::state;
use crate::admin;
use crate::admin::HostView;
use crate::console::ConsoleState;
use crate::console::layout::Page;
use crate::console::layout::Section;
use crate::console::notice::Notice;
use crate::console::text;
use crate::http::auth::Access;
use crate::http::auth::Principal;
use crate::peers::Answer;
use hoth_core::domain::Timestamp;
use hoth_platform::disk::DiskRoom;

/// Handles `GET /console/hosts`.
pub async fn list(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
    Query(notice): Query<Notice>,
) -> Response {
    let (host, now) = (&console.admin.host, console.admin.clock.now());
    let (own, peers) = tokio::join!(admin::view_host(&console.admin), console.peers.hosts());
    let body = html! {
        h2 { "This host" }
        dl class="facts" {
            dt { "Name" } dd { (host.name) }
            dt { "Version" } dd { (host.version) }
            dt { "Roles" } dd { (host.roles.join(", ")) }
            dt { "Started" } dd { (text::time(host.started_at)) ", " (text::duration(now.since(host.started_at))) " ago" }
            dt { "Configuration" } dd { code { (host.configuration.display()) } }
            dt { "Queue" } dd { (host.queue) }
            @if let Some(room) = room(&own) {
                dt { "Disk" }
                dd { (disk(&console, room)) }
            }
            @if let Some(bytes) = console.admin.storage.log_bytes() {
                dt { "Log of the queue file" } dd { (text::bytes(bytes)) }
            }
            dt { "Ready" }
            dd { (ready(&own)) }
            dt { "Jobs" }
            dd { (jobs(&own, now)) }
        }
        @if principal.role.permits(Access::Operate) { (acts(&own)) }
        h2 { "Other hosts" }
        @if console.peers.is_empty() {
            p class="soft" { "None is configured in " code { "[console] peers" } ": other hosts have consoles of their own." }
        } @else { (table(&console, &peers, now)) }
    };
    let page = Page {
        section: Section::Hosts,
        title: "Hosts",
        live: true,
        notice: notice.sentence(),
        body,
    };
    page.render(&principal)
}

fn table(console: &ConsoleState, peers: &[Answer<HostView>], now: Timestamp) -> Markup {
    html! { div class="scroll" tabindex="0" { table {
        thead { tr {
            th scope="col" { "Host" } th scope="col" { "State" } th scope="col" { "Version" }
            th scope="col" { "Roles" } th scope="col" { "Started" } th scope="col" { "Jobs" }
            th scope="col" { "Disk" }
        } }
        tbody { @for Answer { peer, told } in peers { tr {
            th scope="row" { (text::foreign(peer)) }
            @match told {
                Ok(host) => {
                    td { (ready(host)) }
                    td {
                        (text::foreign(&host.version))
                        @if host.version != console.admin.host.version { " (another one than here)" }
                    }
                    td { (text::foreign(&host.roles.join(", "))) }
                    td { (text::time(host.started_at)) ", " (text::duration(now.since(host.started_at))) " ago" }
                    td { (jobs(host, now)) }
                    td { @if let Some(room) = room(host) { (disk(console, room)) } }
                }
                Err(down) => {
                    td { (state(Mood::Bad, "not known")) }
                    td class="text" colspan="5" {
                        (text::foreign(&down.failure.to_string())) ", since " (text::time(down.since))
                    }
                }
            }
        } } }
    } } }
}

fn ready(host: &HostView) -> Markup {
    match host.ready {
        true => state(Mood::Good, "ready"),
        false => state(Mood::Warn, "not ready"),
    }
}

/// Returns the jobs in hand, and if the host takes more.
fn jobs(host: &HostView, now: Timestamp) -> Markup {
    html! {
        (host.jobs_in_hand) " in hand"
        @if let Some(since) = host.drained_since {
            " " (state(Mood::Warn, "drained")) " since " (text::time(since)) ", for "
            (text::duration(now.since(since)))
        }
    }
}

fn acts(own: &HostView) -> Markup {
    match own.drained_since {
        Some(_) => act(
            "Resume",
            "/console/host/resume",
            "The host takes jobs from the queues again.",
            &html! {},
            false,
        ),
        None => act(
            "Drain",
            "/console/host/drain",
            "The host takes no more jobs from the queues; jobs in hand go on. It still accepts \
             requests, which wait, and delivers outcomes. A restart ends the drain.",
            &html! {},
            false,
        ),
    }
}

fn room(host: &HostView) -> Option<DiskRoom> {
    let disk = host.disk?;
    Some(DiskRoom { free: disk.free_bytes, total: disk.total_bytes })
}

fn disk(console: &ConsoleState, room: DiskRoom) -> Markup {
    html! {
        (text::bytes(room.free)) " of " (text::bytes(room.total)) " free (" (room.free_percent()) " %) "
        @if room.free_percent() < console.config.warn.disk_free_percent { (state(Mood::Bad, "nearly full")) }
    }
}
