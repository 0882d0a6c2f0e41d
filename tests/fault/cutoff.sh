#!/bin/sh
# failover.sh with the leader cut off by a packet filter, in network
# namespaces; skipped (77) where those are not to be had.
HF_FAULTS="cut"
export HF_FAULTS
exec sh "${srcdir:-.}/tests/fault/failover.sh"
