//! [`Sender`]: delivers job events to webhooks.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use tokio::{sync::watch, task::JoinSet};
use ureq::Agent;

use super::Guard;
use crate::{
    fault::chain,
    job::{JobStore, Notification, wait_for},
    panics::blocking,
    telemetry,
    webhook::{Attempted, Delivery, WAITS, Webhook, WebhookStore, sign},
};

/// How long a webhook may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// For how long a delivery is another process's not to take: longer than an attempt can last.
const HOLD: Duration = Duration::from_secs(60);
/// How often deliveries are looked for: those that wait for another attempt are not announced.
const LOOK: Duration = Duration::from_secs(2);
/// Attempts under way at a time: one webhook that does not answer must not hold up the others.
const AT_ONCE: usize = 16;

/// Sends deliveries. Any number of processes may do so.
#[derive(Debug)]
pub struct Sender {
    /// Webhooks, and the deliveries that are due.
    pub webhooks: Arc<dyn WebhookStore>,
    /// Where notifications of new deliveries come from.
    pub jobs: Arc<dyn JobStore>,
    /// Which addresses are allowed.
    pub guard: Guard,
}

impl Sender {
    /// Sends until `stop` becomes true.
    pub async fn work(self, mut stop: watch::Receiver<bool>) {
        let agent = self.guard.agent(PATIENCE);
        let mut notifications = self.jobs.notifications();
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < AT_ONCE {
                match self.webhooks.take_delivery(HOLD).await {
                    Ok(Some((webhook, delivery))) => {
                        let (webhooks, agent, guard) = (Arc::clone(&self.webhooks), agent.clone(), self.guard);
                        under_way
                            .spawn(async move { attempt(webhooks.as_ref(), agent, guard, webhook, delivery).await });
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(error = chain(&error), "deliveries cannot be read");
                        break;
                    }
                }
            }
            let full = under_way.len() >= AT_ONCE;
            tokio::select! {
                () = wait_for(&mut notifications, &Notification::Delivery), if !full => {}
                () = tokio::time::sleep(LOOK) => {}
                Some(_) = under_way.join_next() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }
}

/// Makes one attempt at a delivery, and records how it went and when the next one is due.
async fn attempt(webhooks: &dyn WebhookStore, agent: Agent, guard: Guard, webhook: Webhook, delivery: Delivery) {
    let sent = delivery.clone();
    let posted = blocking(move || post(&agent, guard, &webhook, &sent)).await;
    let how = posted.unwrap_or_else(|panicked| Attempted { response_status: None, error: Some(panicked.to_string()) });
    telemetry::delivery_attempted(how.error.is_none());
    let wait = usize::try_from(delivery.attempts - 1).ok().and_then(|attempt| WAITS.get(attempt)).copied();
    if let Err(error) = webhooks.attempted(&delivery, how, wait).await {
        // It is sent again; receivers know the id.
        tracing::warn!(delivery = delivery.id, error = chain(&error), "a delivery was not recorded");
    }
}

/// Sends a delivery. Blocks.
fn post(agent: &Agent, guard: Guard, webhook: &Webhook, delivery: &Delivery) -> Attempted {
    let failed = |error: String| Attempted { response_status: None, error: Some(error) };
    // Looked at again: it was made when other addresses may have been allowed.
    if let Err(why) = guard.check(&webhook.url) {
        return failed(why);
    }
    let body = json!({
        "type": delivery.kind,
        "timestamp": delivery.created_at,
        "data": {"job_id": delivery.job, "seq": delivery.seq, "at": delivery.created_at, "event": delivery.data},
    })
    .to_string();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let Some(signature) = sign(&webhook.secret, &delivery.id, now, &body) else {
        return failed("the webhook's secret cannot be read".to_owned());
    };
    let request = agent
        .post(&webhook.url)
        .header("content-type", "application/json")
        .header("webhook-id", &delivery.id)
        .header("webhook-timestamp", now.to_string())
        .header("webhook-signature", signature);
    match request.send(&body) {
        Ok(response) => {
            let status = response.status();
            let error = (!status.is_success()).then(|| format!("the webhook answered {status}"));
            Attempted { response_status: Some(status.as_u16()), error }
        }
        Err(ureq::Error::HostNotFound) => failed("the host is unknown".to_owned()),
        Err(error) => failed(error.to_string()),
    }
}
