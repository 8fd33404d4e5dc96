#pragma once

#include <openssl/evp.h>

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>

namespace neunets {

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    Must(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
  }

  void Update(const void* data, std::size_t size) { Must(EVP_DigestUpdate(context_.get(), data, size)); }

  // In lower case hexadecimal. The digest is used up.
  std::string Hex() {
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    Must(EVP_DigestFinal_ex(context_.get(), sum, &size));
    std::string hex;
    for (unsigned int at = 0; at < size; ++at) {
      hex += kDigits[sum[at] >> 4];
      hex += kDigits[sum[at] & 15];
    }
    return hex;
  }

 private:
  static constexpr char kDigits[] = "0123456789abcdef";

  static void Must(bool done) {
    if (!done) throw std::runtime_error("OpenSSL refuses SHA-256");
  }

  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace neunets
