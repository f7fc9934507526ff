//! The keys of one credential for AWS, whatever their source: static ones, or
//! temporary ones of a role.

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials as Keys;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::auth::aws::static_keys::StaticKeys;
use crate::auth::aws::sts;
use crate::auth::aws::sts::Sts;
use crate::auth::aws::sts::StsFailure;
use crate::auth::aws::web_identity::WebIdentity;
use crate::auth::config::AssumeRoleConfig;
use crate::auth::config::AwsSigV4Config;
use crate::auth::demand::Demand;
use crate::auth::grants::Granted;
use crate::auth::grants::Grants;
use crate::auth::grants::Issuer;
use crate::auth::issuer_client::IssuerSetup;
use crate::auth::parameters;
use crate::auth::parameters::BadParameters;
use crate::auth::parameters::Parameters;
use crate::auth::parameters::Template;
use crate::auth::reread::Reread;
use crate::auth::sign::signer::AwsSigner;
use crate::auth::sign::signer::Refusal;
use crate::auth::sign::signer::Signer;
use crate::auth::sign::signing_clock::SigningClock;
use crate::auth::status::TokenStatus;
use crate::policy::aws_scope::AwsScope;
use crate::transport::failure::CallFailure;
use hoth_core::domain::CspName;
use hoth_platform::clock::Clock;

/// A credential that signs for AWS. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AwsCredential(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    csp: CspName,
    source: Source,
    /// The service and the region of every signature, if they are configured.
    signing: Option<AwsScope>,
    clock: SigningClock,
}

#[derive(Debug)]
enum Source {
    Static { keys: Box<StaticKeys>, read: Reread<Keys> },
    Role { role: Grants<Role> },
}

impl AwsCredential {
    /// Makes a credential from a checked configuration. `from` is the credential
    /// that `assume_role.from` names.
    pub fn new(setup: &IssuerSetup, config: &AwsSigV4Config, from: Option<Self>) -> Self {
        let role = match (&config.assume_role, from) {
            (Some(assumed), Some(from)) => {
                Some(Role::Assumed(Box::new(AssumedRole::new(setup, assumed, from))))
            }
            (Some(_) | None, _) => config
                .web_identity
                .as_ref()
                .map(|web| Role::WebIdentity(Box::new(WebIdentity::new(setup, web)))),
        };
        let source = match role {
            Some(role) => Source::Role { role: Grants::new(role) },
            None => {
                Source::Static { keys: Box::new(StaticKeys::of(config)), read: Reread::default() }
            }
        };
        Self(Arc::new(Inner {
            csp: setup.csp.clone(),
            source,
            signing: config.signing.clone(),
            clock: SigningClock::new(&setup.csp, setup.clock.clone()),
        }))
    }

    /// Returns the state of the temporary keys of a role, for operators; `None`
    /// for static keys.
    pub fn status(&self, clock: &Clock) -> Option<TokenStatus> {
        match &self.0.source {
            Source::Static { .. } => None,
            Source::Role { role } => Some(role.status(clock)),
        }
    }

    /// Checks the parameters of a request.
    pub fn check(&self, parameters: &Parameters) -> Result<(), BadParameters> {
        match &self.0.source {
            Source::Static { .. } => parameters::check_none(parameters),
            Source::Role { role } => role.issuer().check(parameters),
        }
    }

    /// Returns a signer with usable keys. Boxed, because the keys of a role are
    /// those of another credential.
    pub fn signer<'a>(
        &'a self,
        demand: &'a Demand<'a>,
        patience: Duration,
    ) -> BoxFuture<'a, Result<Signer, CallFailure>> {
        async move {
            match &self.0.source {
                Source::Static { keys, read } => {
                    let keys = read.get(|| keys.read(&self.0.csp)).await?;
                    Ok(self.signer_of(demand, keys, 0))
                }
                Source::Role { role } => {
                    let grant = role.get(&demand.parameters, patience).await?;
                    Ok(self.signer_of(demand, grant.value, grant.generation))
                }
            }
        }
        .boxed()
    }

    /// Returns a signer with new keys after the CSP refused some. Returns `None`
    /// if their sources still hold the refused ones.
    pub async fn renew(
        &self,
        demand: &Demand<'_>,
        refused: &Signer,
        patience: Duration,
    ) -> Result<Option<Signer>, CallFailure> {
        let Signer::AwsSigV4(refused) = refused else { return Ok(None) };
        match &self.0.source {
            Source::Static { keys, read } => {
                let keys = read.get_anew(|| keys.read(&self.0.csp)).await?;
                Ok((keys != refused.keys).then(|| self.signer_of(demand, keys, 0)))
            }
            Source::Role { role } => {
                role.discard(&demand.parameters, refused.generation);
                self.signer(demand, patience).await.map(Some)
            }
        }
    }

    fn signer_of(&self, demand: &Demand<'_>, keys: Keys, generation: u64) -> Signer {
        let scope = demand.signing.or(self.0.signing.as_ref()).cloned();
        let (csp, clock) = (self.0.csp.clone(), self.0.clock.clone());
        Signer::AwsSigV4(AwsSigner { csp, keys, generation, scope, clock })
    }
}

/// The issuer of a role's keys.
#[derive(Debug)]
enum Role {
    Assumed(Box<AssumedRole>),
    WebIdentity(Box<WebIdentity>),
}

/// A role that is assumed with the keys of another credential.
#[derive(Debug)]
struct AssumedRole {
    config: AssumeRoleConfig,
    arn: Template,
    sts: Sts,
    from: AwsCredential,
    signing: Option<AwsScope>,
}

impl AssumedRole {
    /// Makes the issuer from a checked configuration.
    fn new(setup: &IssuerSetup, config: &AssumeRoleConfig, from: AwsCredential) -> Self {
        let arn = Template::new(&config.role_arn, &config.parameters)
            .expect("the configuration has been checked");
        let sts = Sts::new(setup, &config.sts_url);
        Self { config: config.clone(), arn, sts, from, signing: config.signing() }
    }

    /// Requests keys. If STS refuses the keys that sign, signs once more with
    /// the right time, or with new keys.
    async fn request(&self, parameters: &Parameters) -> Result<Granted<Keys>, CallFailure> {
        let arn = self.arn.fill(parameters);
        let external_id = self.config.external_id.as_deref();
        let given = [("RoleArn", Some(arn.as_str())), ("ExternalId", external_id)];
        let given: Vec<_> =
            given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let form = sts::form("AssumeRole", self.config.sts(), &given);
        let demand = Demand { signing: self.signing.as_ref(), ..Demand::default() };
        let signer = self.from.signer(&demand, Duration::ZERO).await?;
        let mut refused = match self.sts.request(form.clone(), Some(&signer)).await {
            Ok(granted) => return Ok(granted),
            Err(refused) => refused,
        };
        if let Some(Refusal::Clock(skew)) = refused.refusal {
            signer.correct_clock(skew);
            refused = match self.sts.request(form.clone(), Some(&signer)).await {
                Ok(granted) => return Ok(granted),
                Err(refused) => refused,
            };
        }
        let StsFailure { failure, refusal: Some(_) } = refused else {
            return Err(refused.failure);
        };
        match self.from.renew(&demand, &signer, Duration::ZERO).await? {
            None => Err(failure),
            Some(renewed) => {
                let again = self.sts.request(form, Some(&renewed)).await;
                again.map_err(|refused| refused.failure)
            }
        }
    }
}

impl Role {
    /// Checks the parameters of a request.
    fn check(&self, parameters: &Parameters) -> Result<(), BadParameters> {
        match self {
            Self::Assumed(role) => role.arn.check(parameters),
            Self::WebIdentity(_) => parameters::check_none(parameters),
        }
    }
}

impl Issuer for Role {
    type Key = Parameters;
    type Value = Keys;

    async fn issue(&self, parameters: &Parameters) -> Result<Granted<Keys>, CallFailure> {
        match self {
            Self::Assumed(role) => role.request(parameters).await,
            Self::WebIdentity(role) => role.request().await,
        }
    }
}
