/* Every route of the server: E2B's control plane, then what a sandbox answers. */
#include "box.h"

#define POST(path, fn)                                                                             \
	{                                                                                          \
		"POST", (path), (fn)                                                               \
	}

/* Order counts: the first pattern that fits decides. */
const struct az_route az_box_routes[] = {{"GET", "/health", health},
    {"GET", "/azlon/health", health_azlon},

    POST("/sandboxes", control_create_v1), {"GET", "/sandboxes", control_list_v1},
    POST("/v2/sandboxes", control_create_v2), {"GET", "/v2/sandboxes", control_list},
    {"GET", "/sandboxes/metrics", control_metrics_many}, {"GET", "/sandboxes/{id}", control_get},
    {"DELETE", "/sandboxes/{id}", control_delete}, POST("/sandboxes/{id}/timeout", control_timeout),
    POST("/sandboxes/{id}/refreshes", control_refresh),
    POST("/sandboxes/{id}/connect", control_connect_v1),
    POST("/v2/sandboxes/{id}/connect", control_connect_v2),
    {"PUT", "/sandboxes/{id}/network", control_network},
    POST("/sandboxes/{id}/pause", control_pause), POST("/sandboxes/{id}/resume", control_resume),
    {"GET", "/sandboxes/{id}/metrics", control_metrics},
    {"GET", "/sandboxes/{id}/logs", control_logs_v1},
    {"GET", "/v2/sandboxes/{id}/logs", control_logs_v2}, {"GET", "/templates", control_templates},
    {"GET", "/v2/templates", control_templates},
    {"GET", "/templates/aliases/{alias*}", control_alias},
    {"GET POST PUT DELETE", "/sandboxes/{id}/{what*}", control_none},
    {"GET POST PUT DELETE", "/v2/sandboxes/{id}/{what*}", control_none},
    POST("/templates", control_none), {"GET POST DELETE PATCH", "/templates/{what*}", control_none},
    POST("/v2/templates", control_none), {"GET POST PATCH", "/v2/templates/{what*}", control_none},
    {"POST", "/v3/templates", control_none}, {"GET", "/snapshots", control_none},
    {"GET POST", "/volumes", control_none},
    {"GET POST PUT DELETE PATCH", "/volumes/{what*}", control_none},
    {"GET POST PUT DELETE PATCH", "/volumecontent/{what*}", control_none},
    {"GET POST", "/secrets", control_none},
    {"GET POST PUT DELETE", "/secrets/{what*}", control_none},

    {"GET HEAD", "/files", envd_files_get}, POST("/files", envd_files_post),
    POST("/files/compose", envd_files_compose), {"GET", "/envs", envd_envs},
    {"GET", "/metrics", envd_metrics}, POST("/process.Process/Start", process_start),
    POST("/process.Process/Connect", process_connect), POST("/process.Process/List", process_list),
    POST("/process.Process/SendInput", process_input),
    POST("/process.Process/StreamInput", process_stream_input),
    POST("/process.Process/SendSignal", process_signal),
    POST("/process.Process/CloseStdin", process_close_stdin),
    POST("/process.Process/Update", process_update), POST("/filesystem.Filesystem/Stat", fs_stat),
    POST("/filesystem.Filesystem/ListDir", fs_list),
    POST("/filesystem.Filesystem/MakeDir", fs_mkdir), POST("/filesystem.Filesystem/Move", fs_move),
    POST("/filesystem.Filesystem/Remove", fs_remove),
    POST("/filesystem.Filesystem/WatchDir", fs_watch),
    POST("/filesystem.Filesystem/CreateWatcher", fs_watcher_create),
    POST("/filesystem.Filesystem/GetWatcherEvents", fs_watcher_events),
    POST("/filesystem.Filesystem/RemoveWatcher", fs_watcher_remove), {NULL, NULL, NULL}};
