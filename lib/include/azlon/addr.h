/*
 * Where an address that somebody else chose leads to.
 */
#ifndef AZLON_ADDR_H
#define AZLON_ADDR_H

#include <sys/socket.h>
#include <azlon/err.h>

/* The public internet: no private, loopback, link-local, metadata or other special range, IPv4
   in IPv6's clothes included. */
AZ_API bool az_addr_public(const struct sockaddr *sa);
AZ_API bool az_addr_loopback(const struct sockaddr *sa);

#endif
