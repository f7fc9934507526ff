//! Hosts: this one, with its version, roles and room on the disk.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::html;

use super::Mood;
use super::state;
use crate::console::ConsoleState;
use crate::console::layout::Page;
use crate::console::layout::Section;
use crate::console::text;
use crate::http::auth::Principal;

/// The longest wait for the queue.
const READY_MAX: Duration = Duration::from_millis(500);

/// Handles `GET /console/hosts`.
pub async fn list(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
) -> Response {
    let (host, now) = (&console.host, console.admin.clock.now());
    let room = host.disk();
    let body = html! {
        h2 { "This host" }
        dl class="facts" {
            dt { "Version" } dd { (host.version) }
            dt { "Roles" } dd { (host.roles.join(", ")) }
            dt { "Started" } dd { (text::time(host.started_at)) ", " (text::duration(now.since(host.started_at))) " ago" }
            dt { "Configuration" } dd { code { (host.configuration.display()) } }
            dt { "Queue" } dd { (host.queue) }
            @if let Some(room) = room {
                dt { "Disk" }
                dd {
                    (text::bytes(room.free)) " of " (text::bytes(room.total)) " free (" (room.free_percent()) " %) "
                    @if room.free_percent() < console.config.warn.disk_free_percent { (state(Mood::Bad, "nearly full")) }
                }
            }
            @if let Some(bytes) = console.admin.storage.log_bytes() {
                dt { "Log of the queue file" } dd { (text::bytes(bytes)) }
            }
            dt { "Ready" }
            dd { @if console.admin.health.is_ready(READY_MAX).await { (state(Mood::Good, "ready")) } @else { (state(Mood::Warn, "not ready")) } }
        }
        p class="soft" { "Other hosts that share these queues have consoles of their own." }
    };
    let page = Page { section: Section::Hosts, title: "Hosts", live: true, notice: None, body };
    page.render(&principal)
}
