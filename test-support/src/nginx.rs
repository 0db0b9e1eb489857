//! A real nginx in front of the service.

use std::net::SocketAddr;
use std::path::Path;

use crate::process::{Supervised, await_port, free_port};

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    _process: Supervised,
    port: u16,
}

impl Nginx {
    /// Starts an nginx that passes everything on to `upstream`, with these directives.
    ///
    /// # Panics
    ///
    /// Panics if nginx is not installed, or does not serve in time.
    pub fn before(upstream: SocketAddr, directives: &str) -> Self {
        let program = "/usr/sbin/nginx";
        assert!(Path::new(program).exists(), "nginx is not installed: run scripts/tools");
        let (folder, port) = (Supervised::folder(), free_port());
        let path = folder.display();
        let settings = format!(
            "daemon off; master_process off; worker_processes 1; pid {path}/pid;
             error_log stderr;
             events {{ worker_connections 256; }}
             http {{
               access_log off; client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;
               fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;
               upstream authority {{ server {upstream}; keepalive 8; }}
               server {{
                 listen 127.0.0.1:{port};
                 location / {{
                   proxy_pass http://authority; proxy_http_version 1.1;
                   proxy_set_header Connection \"\"; {directives}
                 }}
               }}
             }}"
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, settings).unwrap();
        let (folder_text, file) = (folder.to_str().unwrap(), file.to_str().unwrap());
        let command = [program, "-c", file, "-p", folder_text, "-e", "stderr"];
        let process = Supervised::start(&folder, "TERM", &command);
        await_port(port, &process);
        Self { _process: process, port }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }
}
