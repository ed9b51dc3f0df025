/* TLS for scripted servers. */
#ifndef H2_TLS_H
#define H2_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <openssl/ssl.h>

/* A context with a new key and a certificate for 127.0.0.1 and localhost that signs itself;
   its file's path goes to ca, unlink it. h2: HTTP/2 is offered, and nothing else. */
SSL_CTX *h2_tls(char *ca, size_t ca_n, bool h2);

#endif
