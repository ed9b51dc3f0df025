/*
 * The one table of limits. DESIGN: every number that bounds outside input or
 * a resource stands here, with its unit in its name, and is cited elsewhere.
 * What a sysadmin may change is a variable in lib/conf with these defaults.
 */
#ifndef AZLON_LIMITS_H
#define AZLON_LIMITS_H

#define AZ_KIB(n) ((size_t)(n)*1024)
#define AZ_MIB(n) ((size_t)(n)*1024 * 1024)

/* request JSON */
#define AZ_LIM_REQUEST_BYTES AZ_KIB(256)
#define AZ_LIM_REQUEST_DEPTH 16
#define AZ_LIM_JSON_TOKENS 10000
/* one payload through the engine */
#define AZ_LIM_PAYLOAD_BYTES AZ_KIB(256)
/* model reply */
#define AZ_LIM_REPLY_BYTES AZ_MIB(4)
#define AZ_LIM_REPLY_DEPTH 64
#define AZ_LIM_REPLY_FILES 200
#define AZ_LIM_REPLY_FILE_BYTES AZ_MIB(1)
#define AZ_LIM_REPLY_TOTAL_BYTES AZ_MIB(8)
#define AZ_LIM_LLM_BODY_BYTES AZ_MIB(8)
/* uploads and archives in */
#define AZ_LIM_UPLOAD_BYTES AZ_MIB(1024)
#define AZ_LIM_ARCHIVE_ENTRIES 10000
#define AZ_LIM_ARCHIVE_RATIO 100
/* commands in a sandbox */
#define AZ_LIM_CMD_S 300
#define AZ_LIM_CMD_MAX_S 900
#define AZ_LIM_LOG_BYTES AZ_MIB(64)
#define AZ_LIM_TAIL_BYTES AZ_KIB(16)
#define AZ_LIM_COLLECT_FILES 2000
#define AZ_LIM_COLLECT_BYTES AZ_MIB(512)
/* the box */
#define AZ_LIM_BOX_MEMORY_BYTES AZ_MIB(512)
#define AZ_LIM_BOX_PIDS 64
#define AZ_LIM_BOX_FILE_BYTES AZ_MIB(512)
#define AZ_LIM_BOX_DISK_BYTES AZ_MIB(1024)
#define AZ_LIM_BOX_TMP_BYTES AZ_MIB(64)
/* a run */
#define AZ_LIM_ITERATIONS 20
#define AZ_LIM_ITERATIONS_MAX 100
#define AZ_LIM_CHECKS 100
/* heartbeats of functions */
#define AZ_HEARTBEAT_EVERY_MS 2000
#define AZ_HEARTBEAT_TIMEOUT_MS 30000

#endif
