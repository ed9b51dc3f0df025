#!/bin/sh
# closed.sh NAME: ExecStopPost= of azlon-NAME. What ended for a wrong configuration (78) is not tried again
# before somebody says so; its socket would do that for each request that waits. So the socket is closed, and
# requests are refused at once, unless another process serves it. Every start opens it first.
[ "${EXIT_STATUS:-}" = 78 ] || exit 0
systemctl --quiet is-active "azlon-$1@1.service" "azlon-$1@2.service" || exec systemctl stop "azlon-$1.socket"
