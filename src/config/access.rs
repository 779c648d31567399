//! Who may use the API, and how much.

use clap::Args;

use super::TenantConfig;

/// Who may use the API, and how much.
#[derive(Args, Clone, Debug, Default)]
pub struct AccessConfig {
    /// Let anybody do anything. Without it, only a server on the loopback address with its own embedded database is open,
    /// whatever keys there are; every other one wants an API key (`ptqd keys create`) or a token of the OpenID provider.
    #[arg(long, env = "PTQD_NO_AUTH")]
    pub no_auth: bool,

    /// The OpenID provider whose tokens are accepted besides API keys.
    #[arg(long, env = "PTQD_OIDC_ISSUER", value_name = "URL", requires = "oidc_audience")]
    pub oidc_issuer: Option<String>,

    /// The audience that tokens must be for.
    #[arg(long, env = "PTQD_OIDC_AUDIENCE", value_name = "NAME")]
    pub oidc_audience: Option<String>,

    /// The claim that names the tenant.
    #[arg(long, env = "PTQD_OIDC_TENANT_CLAIM", value_name = "CLAIM", default_value = "tenant")]
    pub oidc_tenant_claim: String,

    /// Requests a second that each key may make, in bursts of twice as many; 100 without it, no limit where no key is
    /// needed.
    #[arg(long, env = "PTQD_RATE_LIMIT", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate_limit: Option<u32>,

    /// Wrong keys and tokens a minute that each address may send, 20 without it; after that they are answered 429 unread, but
    /// for those that were right before.
    #[arg(long, env = "PTQD_AUTH_FAILURES", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub auth_failures: Option<u32>,
    /// How much each tenant may hold.
    #[command(flatten)]
    pub tenants: TenantConfig,
}
