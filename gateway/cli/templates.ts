// The texts that `sluice init` writes. A test loads each of them.

const HEAD = `# Configuration of Sluice. Every key: sluice schema --markdown
# For completion in editors: sluice schema > gateway.schema.json
# yaml-language-server: $schema=gateway.schema.json
version: 1

`;

const LISTEN = `listen:
  http: ["127.0.0.1:8080", "[::1]:8080"]      # ":8080" = every address of this machine
  # https: ["127.0.0.1:8443", "[::1]:8443"]   # with a certificate for localhost, made on demand
`;

const REST = `
# A proxy in front of this gateway, whose X-Forwarded-For is believed:
# trusted_proxies: ["10.0.0.0/8"]

# cache:
#   memory: 256MiB

# admin:
#   listen: "127.0.0.1:9900"
`;

export const TEMPLATE: string = `${HEAD}${LISTEN}
upstreams:
  api:
    servers: ["http://127.0.0.1:8001", "http://127.0.0.1:8002"]
    # health: /healthz                        # asked every 5s; a server that fails 3 times in a row gets no requests

routes:                                       # the most specific match wins; the order never matters
  - match: "/*"
    upstream: api
    cache: auto                               # obey Cache-Control; store nothing where it is missing
  # - match: "/v1/catalog/*"
  #   upstream: api
  #   cache: 30s                              # 30 seconds where the API says nothing about it
${REST}`;

export const FASTAPI_TEMPLATE: string = `${HEAD}${LISTEN}
upstreams:
  api:
    # Started and watched by "sluice run": one process per instance, each on a unix socket of its own.
    command: "python3 -m uvicorn main:app --uds {socket} --proxy-headers --forwarded-allow-ips=*"
    instances: 2
    # Or servers that something else starts:
    # servers: ["http://127.0.0.1:8001", "http://127.0.0.1:8002"]
    # health: /healthz

routes:                                       # the most specific match wins; the order never matters
  - match: "/*"
    upstream: api
  # - match: "/v1/catalog/*"
  #   upstream: api
  #   cache: 30s                              # FastAPI sends no Cache-Control: 30 seconds unless it does
${REST}`;

export const FASTAPI_ADVICE: string = `
Uvicorn believes X-Forwarded-For and X-Forwarded-Proto only from addresses that it is told:
  uvicorn main:app --uds /run/api-1.sock --proxy-headers --forwarded-allow-ips='*'
  uvicorn main:app --port 8001 --proxy-headers --forwarded-allow-ips=127.0.0.1
On a unix socket there is no address, hence '*': only who may open the socket can connect.
Behind strip_prefix also give --root-path, or /docs will not find its schema.
`;
