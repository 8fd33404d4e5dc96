// A bad line to a real engine.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

// A listening socket on a free port of this machine, which nobody answers until it is accepted.
class Listener {
 public:
  Listener() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = At(0);
    socklen_t size = sizeof address;
    if (::bind(socket_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(socket_, 16) != 0 ||
        ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error("cannot listen on 127.0.0.1");
    }
    target_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }

  ~Listener() {
    Shut();
    ::close(socket_);
  }

  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  static sockaddr_in At(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  // < 0 once it is shut.
  int Accept() const { return ::accept(socket_, nullptr, nullptr); }
  void Shut() const { ::shutdown(socket_, SHUT_RDWR); }
  const std::string& target() const { return target_; }

 private:
  int socket_;
  std::string target_;
};

// Its first `cuts` connections break once `bytes` have come back over them.
class Relay {
 public:
  Relay(const std::string& target, int cuts, std::int64_t bytes)
      : port_(static_cast<std::uint16_t>(std::stoi(target.substr(target.rfind(':') + 1)))),
        bytes_(bytes),
        cuts_left_(cuts),
        acceptor_([this] { Accept(); }) {}

  ~Relay() {
    listener_.Shut();
    acceptor_.join();
    for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
    for (std::thread& pump : pumps_) pump.join();
    for (const int socket : sockets_) ::close(socket);
  }

  const std::string& target() const { return listener_.target(); }
  bool has_broken_all() const { return cuts_left_ <= 0; }
  // From the engine, over all connections.
  std::int64_t received() const { return received_; }

 private:
  static constexpr std::int64_t kEver = std::numeric_limits<std::int64_t>::max();

  void Accept() {
    for (int client = listener_.Accept(); client >= 0; client = listener_.Accept()) {
      const int engine = ::socket(AF_INET, SOCK_STREAM, 0);
      const sockaddr_in address = Listener::At(port_);
      ::connect(engine, reinterpret_cast<const sockaddr*>(&address), sizeof address);
      const std::int64_t most = cuts_left_-- > 0 ? bytes_ : kEver;
      sockets_.insert(sockets_.end(), {client, engine});
      pumps_.emplace_back([this, client, engine] { Pass(client, engine, kEver, sent_); });
      pumps_.emplace_back([this, client, engine, most] { Pass(engine, client, most, received_); });
    }
  }

  static void Pass(int from, int to, std::int64_t most, std::atomic<std::int64_t>& total) {
    char buffer[1024];
    std::int64_t passed = 0;
    while (passed < most) {
      const ssize_t size = ::recv(from, buffer, sizeof buffer, 0);
      if (size <= 0 || ::send(to, buffer, static_cast<std::size_t>(size), MSG_NOSIGNAL) != size) break;
      passed += size;
      total += size;
    }
    ::shutdown(from, SHUT_RDWR);
    ::shutdown(to, SHUT_RDWR);
  }

  const std::uint16_t port_;
  const std::int64_t bytes_;
  std::atomic<int> cuts_left_;
  std::atomic<std::int64_t> received_{0};
  std::atomic<std::int64_t> sent_{0};
  Listener listener_;
  std::vector<int> sockets_;
  std::vector<std::thread> pumps_;
  std::thread acceptor_;
};
