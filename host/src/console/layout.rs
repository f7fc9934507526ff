//! The frame of every page: head, navigation, notice, footer.

use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use maud::DOCTYPE;
use maud::Markup;
use maud::html;

use super::assets;
use crate::http::auth::Principal;

/// The entries of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Now,
    Jobs,
    Queues,
    DeadLetters,
    Csps,
    Adapters,
    Audit,
    Hosts,
    Errors,
}

impl Section {
    const ALL: [Self; 9] = [
        Self::Now,
        Self::Jobs,
        Self::Queues,
        Self::DeadLetters,
        Self::Csps,
        Self::Adapters,
        Self::Audit,
        Self::Hosts,
        Self::Errors,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Now => "Now",
            Self::Jobs => "Jobs",
            Self::Queues => "Queues",
            Self::DeadLetters => "Dead letters",
            Self::Csps => "CSPs",
            Self::Adapters => "Adapters",
            Self::Audit => "Audit",
            Self::Hosts => "Hosts",
            Self::Errors => "Errors",
        }
    }

    /// Returns the path of the section's first page.
    pub fn path(self) -> &'static str {
        match self {
            Self::Now => "/console",
            Self::Jobs => "/console/jobs",
            Self::Queues => "/console/queues",
            Self::DeadLetters => "/console/dead-letters",
            Self::Csps => "/console/csps",
            Self::Adapters => "/console/adapters",
            Self::Audit => "/console/audit",
            Self::Hosts => "/console/hosts",
            Self::Errors => "/console/errors",
        }
    }
}

/// A page before it gets its frame.
pub struct Page<'a> {
    pub section: Section,
    pub title: &'a str,
    /// `true` if the content changes by itself, so that the script refreshes
    /// it.
    pub live: bool,
    /// The result of an act that led to this page.
    pub notice: Option<String>,
    pub body: Markup,
}

impl Page<'_> {
    /// Puts the page into its frame, for a person with this role.
    pub fn render(self, principal: &Principal) -> Response {
        let controls = html! {
            @if self.live {
                button type="button" id="refresh" class="quiet" hidden aria-pressed="false" {
                    "Pause refresh"
                }
            }
            span class="who" { (principal.name()) " · " (principal.role.as_str()) }
            @if principal.key.is_some() {
                form method="post" action="/console/logout" { button class="quiet" { "Log out" } }
            }
        };
        let navigation = html! {
            nav aria-label="Sections" {
                ul {
                    @for section in Section::ALL {
                        li {
                            a href=(section.path())
                                aria-current=[(section == self.section).then_some("page")] {
                                (section.title())
                            }
                        }
                    }
                }
            }
        };
        let content = html! {
            @if let Some(notice) = self.notice {
                p class="notice" role="status" { (notice) }
            }
            h1 { (self.title) }
            (self.body)
        };
        html_response(
            StatusCode::OK,
            &document(
                self.title,
                &html! {
                    header class="top" {
                        a class="brand" href="/console" { "HOTH" }
                        (navigation)
                        div class="controls" { (controls) }
                    }
                    main id="content" tabindex="-1" data-live=[self.live.then_some("")] { (content) }
                },
            ),
        )
    }
}

/// Returns a page without navigation, such as the login.
pub fn bare(status: StatusCode, title: &str, body: &Markup) -> Response {
    let frame = html! {
        header class="top" { span class="brand" { "HOTH" } }
        main id="content" class="narrow" tabindex="-1" { h1 { (title) } (body) }
    };
    html_response(status, &document(title, &frame))
}

/// Returns a page that says why something was not done.
pub fn error(status: StatusCode, message: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    bare(
        status,
        title,
        &html! {
            p class="refusal" role="alert" { (message) }
            p { a href="/console" { "Back to the first page" } }
        },
    )
}

fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · HOTH" }
                link rel="icon" href=(assets::ICON.path());
                link rel="stylesheet" href=(assets::STYLE.path());
                script src=(assets::SCRIPT.path()) defer {}
            }
            body {
                a class="skip" href="#content" { "Skip to content" }
                (body)
            }
        }
    }
}

fn html_response(status: StatusCode, markup: &Markup) -> Response {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    (status, [(header::CONTENT_TYPE, html)], markup.0.clone()).into_response()
}
