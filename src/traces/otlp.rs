//! Traces: spans to an OpenTelemetry collector, by OTLP over HTTP.

use std::{sync::OnceLock, time::Duration};

use async_trait::async_trait;
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider},
};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, Registry};

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Sends with the HTTP client that the program has anyway. Blocks, which the exporter's own thread may.
#[derive(Debug)]
struct Client(ureq::Agent);

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let mut response = self.0.run(Request::from_parts(head, body.to_vec()))?;
        let content = response.body_mut().read_to_vec()?;
        let mut answer = Response::new(Bytes::from(content));
        *answer.status_mut() = response.status();
        Ok(answer)
    }
}

/// A layer that sends spans to an OpenTelemetry collector at `endpoint`; an error says why there is none.
pub fn layer(endpoint: &str) -> Result<Box<dyn Layer<Registry> + Send + Sync>, String> {
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).build();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Client(config.into()))
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .build()
        .map_err(|e| e.to_string())?;
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_service_name("ptqd").with_attribute(version).build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let tracer = provider.tracer("ptqd");
    let _ = PROVIDER.set(provider);
    Ok(tracing_opentelemetry::layer().with_tracer(tracer).boxed())
}

/// Makes a span part of the trace that a `traceparent` header (W3C Trace Context) names.
pub fn adopt(span: &Span, traceparent: &str) {
    let mut parts = traceparent.trim().split('-');
    let (Some("00"), Some(trace), Some(parent), Some(flags)) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return;
    };
    let ids = (TraceId::from_hex(trace), SpanId::from_hex(parent), u8::from_str_radix(flags, 16));
    if let (Ok(trace), Ok(parent), Ok(flags)) = ids {
        let context = SpanContext::new(trace, parent, TraceFlags::new(flags), true, TraceState::default());
        if context.is_valid() {
            // A span that is not sampled has no context to change.
            let _ = span.set_parent(Context::new().with_remote_span_context(context));
        }
    }
}

/// Sends what has not been sent yet.
pub fn flush() {
    if let Some(provider) = PROVIDER.get() {
        let _ = provider.force_flush();
    }
}
