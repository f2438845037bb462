//! The gRPC health service, as a server generated from its definition implements it.

use std::pin::Pin;

use bollard_buildkit_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};
use cimandat::project::{Probe, Tls};
use futures::Stream;
use tonic::{Request, Response, Status};
use tower_service::Service;

use super::{
    ask, never, not_yet, ready,
    servers::{self, Certificate, Version},
};

pub fn probe(port: u16, service: &str, tls: Option<Tls>) -> Probe {
    Probe::Grpc {
        port,
        service: service.to_owned(),
        tls,
    }
}

struct Backend;

#[tonic::async_trait]
impl Health for Backend {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let status = match request.get_ref().service.as_str() {
            "" | "shop.Orders" => ServingStatus::Serving,
            "shop.Stock" => ServingStatus::NotServing,
            "shop.New" => ServingStatus::Unknown,
            "shop.Bare" => return Err(Status::unimplemented("")),
            _ => return Err(Status::not_found("unknown service")),
        };
        Ok(Response::new(HealthCheckResponse {
            status: status.into(),
        }))
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not asked for"))
    }
}

async fn start(certificate: Option<&Certificate>) -> u16 {
    let server = HealthServer::new(Backend);
    servers::web(Version::Http2, certificate, move |request| {
        let mut server = server.clone();
        async move {
            let Ok(response) = server.call(request).await;
            response
        }
    })
    .await
}

#[tokio::test]
async fn grpc_probe_checks_one_service_or_all() {
    let port = start(None).await;
    for (service, expected) in [
        ("", ready("SERVING")),
        ("shop.Orders", ready("SERVING")),
        ("shop.Stock", not_yet("NOT_SERVING")),
        ("shop.New", not_yet("UNKNOWN")),
        ("shop.Typo", not_yet("gRPC status 5: unknown service")),
        ("shop.Bare", never("up, but has no health service")),
    ] {
        assert_eq!(
            ask(&probe(port, service, None)).await,
            expected,
            "{service}"
        );
    }
}

#[tokio::test]
async fn grpc_probe_works_over_tls() {
    let certificate = Certificate::of("shop");
    let port = start(Some(&certificate)).await;
    let verify = Tls::Verify {
        authority: certificate.authority,
        host: "shop".to_owned(),
    };
    for tls in [Tls::Require, verify] {
        assert_eq!(ask(&probe(port, "", Some(tls))).await, ready("SERVING"));
    }
}
