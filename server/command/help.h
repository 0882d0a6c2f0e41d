/* What HELP says of those containers that have all that Redis 7.0 has, in the
 * words of Redis: lines as they are sent. */
#ifndef HF_SERVER_COMMAND_HELP_H
#define HF_SERVER_COMMAND_HELP_H

/* clang-format off */
#define COMMAND_HELP(H) \
    H(slowlog, \
      "GET [<count>]\n" \
      "    Return top <count> entries from the slowlog (default: 10, -1 mean all).\n" \
      "    Entries are made of:\n" \
      "    id, timestamp, time in microseconds, arguments array, client IP and port,\n" \
      "    client name\n" \
      "LEN\n" \
      "    Return the length of the slowlog.\n" \
      "RESET\n" \
      "    Reset the slowlog.\n") \
    H(latency, \
      "DOCTOR\n" \
      "    Return a human readable latency analysis report.\n" \
      "GRAPH <event>\n" \
      "    Return an ASCII latency graph for the <event> class.\n" \
      "HISTORY <event>\n" \
      "    Return time-latency samples for the <event> class.\n" \
      "LATEST\n" \
      "    Return the latest latency samples for all events.\n" \
      "RESET [<event> ...]\n" \
      "    Reset latency data of one or more <event> classes.\n" \
      "    (default: reset all data for all event classes)\n" \
      "HISTOGRAM [COMMAND ...]\n" \
      "    Return a cumulative distribution of latencies in the format of a histogram for the specified command names.\n" \
      "    If no commands are specified then all histograms are replied.\n") \
    H(memory, \
      "DOCTOR\n" \
      "    Return memory problems reports.\n" \
      "MALLOC-STATS\n" \
      "    Return internal statistics report from the memory allocator.\n" \
      "PURGE\n" \
      "    Attempt to purge dirty pages for reclamation by the allocator.\n" \
      "STATS\n" \
      "    Return information about the memory usage of the server.\n" \
      "USAGE <key> [SAMPLES <count>]\n" \
      "    Return memory in bytes used by <key> and its value. Nested values are\n" \
      "    sampled up to <count> times (default: 5, 0 means sample all).\n") \
    H(config, \
      "GET <pattern>\n" \
      "    Return parameters matching the glob-like <pattern> and their values.\n" \
      "SET <directive> <value>\n" \
      "    Set the configuration <directive> to <value>.\n" \
      "RESETSTAT\n" \
      "    Reset statistics reported by the INFO command.\n" \
      "REWRITE\n" \
      "    Rewrite the configuration file.\n") \
    H(command, \
      "(no subcommand)\n" \
      "    Return details about all Redis commands.\n" \
      "COUNT\n" \
      "    Return the total number of commands in this Redis server.\n" \
      "LIST\n" \
      "    Return a list of all commands in this Redis server.\n" \
      "INFO [<command-name> ...]\n" \
      "    Return details about multiple Redis commands.\n" \
      "    If no command names are given, documentation details for all\n" \
      "    commands are returned.\n" \
      "DOCS [<command-name> ...]\n" \
      "    Return documentation details about multiple Redis commands.\n" \
      "    If no command names are given, documentation details for all\n" \
      "    commands are returned.\n" \
      "GETKEYS <full-command>\n" \
      "    Return the keys from a full Redis command.\n" \
      "GETKEYSANDFLAGS <full-command>\n" \
      "    Return the keys and the access flags from a full Redis command.\n") \
    H(object, \
      "ENCODING <key>\n" \
      "    Return the kind of internal representation used in order to store the value\n" \
      "    associated with a <key>.\n" \
      "FREQ <key>\n" \
      "    Return the access frequency index of the <key>. The returned integer is\n" \
      "    proportional to the logarithm of the recent access frequency of the key.\n" \
      "IDLETIME <key>\n" \
      "    Return the idle time of the <key>, that is the approximated number of\n" \
      "    seconds elapsed since the last access to the key.\n" \
      "REFCOUNT <key>\n" \
      "    Return the number of references of the value associated with the specified\n" \
      "    <key>.\n")
/* clang-format on */

#endif
