/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Plan: what is measured, and what all measurements need
 *
 * Each measurement takes a plan and prints one JSON line. A bench has nobody to report an error to
 * but its reader: whatever fails ends the process with a line on stderr.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/system.h"

#define BROKERS_MAX 16
#define FAR_MAX 3

typedef struct Plan {
        const System *system;
        const char *path;         /* where the broker listens */
        const char *far[FAR_MAX]; /* the other side attaches there instead; further buses (burst) */
        unsigned n_far;
        const char *group; /* what to compare it with, or NULL */
        size_t size;       /* bytes of a message */
        unsigned count;    /* messages; 0: the measurement's own number */
        unsigned clients;
        unsigned idle; /* further endpoints that are attached and silent (roundtrip) */
        double seconds;
        double rate; /* messages in a second, 0: as many as go through (stream) */
        bool one_cpu, two_cpus;
        pid_t brokers[BROKERS_MAX]; /* whose CPU time and memory counts */
        unsigned n_brokers;
} Plan;

/* pair.c: two processes. */
void measure_roundtrip(const Plan *plan);
void measure_oneway(const Plan *plan);
/* stream.c: two processes, by a timetable. */
void measure_stream(const Plan *plan);
/* many.c: many endpoints in a few processes. */
void measure_idle(const Plan *plan);
void measure_burst(const Plan *plan);
/* topic.c: one publisher and many subscribers. */
void measure_publish(const Plan *plan);
void measure_fanout(const Plan *plan);

/* Runs on CPU @cpu alone from now on; unless @stay, only begins there. */
void place(int cpu, bool stay);

/* "measure: @what: what -@r means", and the end of this process. */
void die(const char *what, int r) __attribute__((noreturn));
void must(const char *what, int r);
/* Zeroed. */
void *must_alloc(size_t n);

/*
 * fork(), for a process that does part of the measurement. If it fails, this process ends at once
 * and leaves the word to it; if this one ends, so does the worker.
 */
pid_t worker_start(void);

/* Whole or not at all: what crosses a pipe here is far below PIPE_BUF. */
void pipe_put(int fd, const void *data, size_t n);
void pipe_get(int fd, void *data, size_t n);

/* CPU time so far: of the brokers, and of this process or a worker of it, all threads. */
double broker_cpu_usec(const Plan *plan);
double process_cpu_usec(pid_t pid);
/* KiB that a process holds, by proportional set size, and all brokers together. */
uint64_t process_memory_kib(pid_t pid);
uint64_t broker_memory_kib(const Plan *plan);

/* The begin of the JSON line, without a comma at its end. */
void print_head(const Plan *plan, const char *bench);
