#include <string.h>
#include <time.h>

#include "api/hex.h"
#include "api/limits.h"
#include "server/common/clock.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/resource.h"

void resource_session_open(struct request *request)
{
	const struct worker_start *settings = worker_settings(request->worker);
	char id[2 * INSTANCE_ID_LEN + 1], expires_at[CLOCK_TEXT_SIZE];
	struct json_writer w;
	CK_RV rv = session_open_rest(request);
	if (rv != CKR_OK) {
		reply_return(request, rv, "No session was opened.");
		return;
	}
	uint64_t ends_ms = settings->rest_idle_ms < settings->rest_max_ms ? settings->rest_idle_ms
									  : settings->rest_max_ms;
	hex_encode(id, request->message->instance, INSTANCE_ID_LEN);
	clock_text(time(NULL) + (time_t)(ends_ms / 1000), expires_at);
	answer_begin(request, 201, "application/json", &w);
	json_begin_object(&w);
	json_name(&w, "id");
	json_write_string(&w, id);
	json_name(&w, "expires_at");
	json_write_string(&w, expires_at);
	json_end_object(&w);
	answer_end(request);
}
