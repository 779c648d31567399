//! [`around`]: the layers that every request passes through, probes and the page included.

use std::sync::Arc;

use axum::{Router, middleware};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{PropagateRequestIdLayer, SetRequestIdLayer},
};

use super::{
    compression, cors, foreign, headers,
    identify::identify,
    observe, pace, problem_body, refuse,
    request_id::{self, NewRequestId, X_REQUEST_ID},
    settings::HttpSettings,
};
use crate::api::{access::Access, state::ApiState};

/// Puts the layers around all routes, the outermost first.
pub(in crate::api) fn around(routes: Router<ApiState>, state: &ApiState, settings: &HttpSettings) -> Router<ApiState> {
    let own = foreign::Own {
        open: matches!(state.access, Access::Open),
        hosts: settings.hosts.clone(),
        origins: settings.cors.clone(),
    };
    routes.layer(
        ServiceBuilder::new()
            .map_request(request_id::drop_unfit)
            .layer(SetRequestIdLayer::new(X_REQUEST_ID, NewRequestId))
            .layer(PropagateRequestIdLayer::new(X_REQUEST_ID))
            .layer(observe::spans(state))
            .layer(middleware::from_fn_with_state(state.clone(), observe::count))
            .layer(headers::nosniff())
            .layer(headers::no_frames())
            .layer(headers::no_referrer())
            .layer(headers::content_policy())
            .option_layer(cors::layer(&settings.cors))
            .layer(compression::layer())
            .layer(middleware::from_fn(problem_body::write))
            .layer(CatchPanicLayer::custom(problem_body::panicked))
            .layer(middleware::from_fn_with_state(state.clone(), refuse::while_draining))
            .layer(middleware::from_fn(refuse::long_uris))
            .layer(middleware::from_fn_with_state(Arc::new(own), foreign::pages))
            .layer(middleware::from_fn_with_state(state.clone(), identify))
            .layer(middleware::from_fn_with_state(settings.pace, pace::pace)),
    )
}
