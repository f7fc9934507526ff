//! The name and the e-mail address of an account, which no other job gives.

use hoth_adapter::Failure;
use hoth_adapter::payload;

use crate::Work;
use crate::tags;

/// The lengths of a name and of an e-mail address (AWS Organizations API
/// Reference, CreateAccount).
const NAME_CHARS_MAX: usize = 50;
const EMAIL_CHARS_MAX: usize = 64;

/// The digits of the job's token in both: enough that no two jobs share them.
const TOKEN_DIGITS: usize = 12;

fn short_token(work: &Work<'_>) -> String {
    tags::job_mark(work.job).chars().take(TOKEN_DIGITS).collect()
}

/// Returns the name of the account, which no other job gives: printable ASCII,
/// as AWS requires.
pub fn name(work: &Work<'_>, environment: &payload::Environment) -> String {
    let wanted = environment.account_name.as_ref().unwrap_or(&environment.name);
    let ascii = |c: char| if matches!(c, ' '..='~') { c } else { '-' };
    let room = NAME_CHARS_MAX - TOKEN_DIGITS - 1;
    let wanted: String = wanted.chars().map(ascii).take(room).collect();
    format!("{wanted} {}", short_token(work))
}

/// Returns the e-mail address of the account, which no other job gives.
pub fn email(work: &Work<'_>, environment: &payload::Environment) -> Result<String, Failure> {
    let id = short_token(work);
    let list = environment.email_distribution_list.as_deref().filter(|list| !list.is_empty());
    let email = match (&work.settings.account_email, list) {
        (Some(pattern), _) => pattern.replace("{id}", &id),
        (None, Some(list)) => {
            let Some((local, domain)) = list.rsplit_once('@') else {
                return Err(Failure::unsupported("emailDistributionList is no e-mail address"));
            };
            format!("{local}+{id}@{domain}")
        }
        (None, None) => {
            let message = "an account of AWS needs an e-mail address: the request has no \
                           emailDistributionList, and the CSP no settings.account_email";
            return Err(Failure::unsupported(message));
        }
    };
    if email.chars().count() > EMAIL_CHARS_MAX {
        let message = format!(
            "the e-mail address of the account is longer than {EMAIL_CHARS_MAX} characters: {email}"
        );
        return Err(Failure::unsupported(message));
    }
    Ok(email)
}
