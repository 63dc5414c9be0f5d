#ifndef WORKER_SOURCE_KAFKA_SETTINGS_H
#define WORKER_SOURCE_KAFKA_SETTINGS_H

#include "config/config.h"

/*
 * Properties of librdkafka.  What exactly-once, order or memory rest on is ours and refused in
 * kafka.settings; anything else can be given there.
 */
typedef void kafka_report(void *arg, int line, int column, const char *sentence);

/*
 * Try all settings without connecting to anything; report what librdkafka refuses, with its place.
 * Values that are secret are in no sentence.  Returns how many mistakes there are.
 */
unsigned kafka_check_settings(const struct config *config, kafka_report *report, void *arg);

#endif
