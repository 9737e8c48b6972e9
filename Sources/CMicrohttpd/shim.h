#ifndef GPI_MICROHTTPD_SHIM_H
#define GPI_MICROHTTPD_SHIM_H

#include <microhttpd.h>

/* Swift cannot call variadic C functions; these three of libmicrohttpd are, so each use of one has a fixed
 * form here. */

struct gpi_mhd_callbacks {
  void* context;
  MHD_AccessHandlerCallback handle;
  MHD_RequestCompletedCallback completed;
  MHD_NotifyConnectionCallback connection;
};

/*
 * One thread per connection, waiting with poll (select would stop at descriptor 1024). libmicrohttpd's own
 * connection timeout stays off: it counts the time a handler computes as idleness, and it spins through the
 * last second.
 */
static inline struct MHD_Daemon* gpi_mhd_start(int listening_socket, unsigned int connection_limit,
                                               size_t thread_stack_size,
                                               const struct gpi_mhd_callbacks* callbacks) {
  return MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL,
                          NULL, callbacks->handle, callbacks->context, MHD_OPTION_LISTEN_SOCKET,
                          (MHD_socket)listening_socket, MHD_OPTION_CONNECTION_LIMIT, connection_limit,
                          MHD_OPTION_THREAD_STACK_SIZE, thread_stack_size, MHD_OPTION_NOTIFY_COMPLETED,
                          callbacks->completed, callbacks->context, MHD_OPTION_NOTIFY_CONNECTION,
                          callbacks->connection, callbacks->context, MHD_OPTION_END);
}

/* The connection's socket; -1 when libmicrohttpd will not tell. */
static inline int gpi_mhd_socket(struct MHD_Connection* connection) {
  const union MHD_ConnectionInfo* info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  return info == NULL ? -1 : (int)info->connect_fd;
}

/* What the connection callback stored for the connection. */
static inline void* gpi_mhd_socket_context(struct MHD_Connection* connection) {
  const union MHD_ConnectionInfo* info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return info == NULL ? NULL : info->socket_context;
}

#endif
