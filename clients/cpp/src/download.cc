#include "download.h"

#include <array>
#include <cstdint>
#include <fstream>
#include <ios>

#include "sha256.h"

namespace neunets {
namespace {

namespace fs = std::filesystem;
using service::v1::Artifact;

Error Damaged(const std::string& model, const Artifact& artifact, const std::string& what) {
  return Error(grpc::StatusCode::DATA_LOSS, "", "", artifact.file() + " of " + model + " " + what);
}

bool IsPlainName(const std::string& file) {
  return !file.empty() && file.front() != '.' && file.find_first_of("/\\") == std::string::npos;
}

void Digest(const fs::path& path, Sha256& digest) {
  std::ifstream file(path, std::ios::binary);
  std::array<char, 1 << 16> buffer;
  while (file.read(buffer.data(), buffer.size()), file.gcount() > 0) {
    digest.Update(buffer.data(), static_cast<std::size_t>(file.gcount()));
  }
}

bool IsWhole(const fs::path& path, Sha256& digest, const Artifact& artifact) {
  return fs::file_size(path) == artifact.ref().size() && digest.Hex() == artifact.ref().sha256();
}

void Append(service::v1::Models::Stub& models, service::v1::DownloadRequest request, const fs::path& scratch,
            Sha256& digest, Tries& tries) {
  std::ofstream file;
  file.exceptions(std::ios::failbit | std::ios::badbit);
  file.open(scratch, std::ios::binary | std::ios::app);
  request.set_offset(fs::file_size(scratch));
  while (true) {
    Stream<service::v1::DownloadResponse> parts(
        tries, [&](grpc::ClientContext* context) { return models.Download(context, request); });
    service::v1::DownloadResponse part;
    while (parts.Read(&part)) {
      file.write(part.data().data(), static_cast<std::streamsize>(part.data().size()));
      digest.Update(part.data().data(), part.data().size());
      request.set_offset(request.offset() + part.data().size());
      tries.CameOn();
    }
    const grpc::Status status = parts.Finish();
    if (status.ok()) break;
    tries.Failed(status);
  }
  file.close();
}

}  // namespace

fs::path DownloadFile(service::v1::Models::Stub& models, const std::string& model, const Artifact& artifact,
                      const fs::path& folder, Tries tries) {
  if (!IsPlainName(artifact.file())) throw Damaged(model, artifact, "is no plain file name");
  const fs::path path = folder / artifact.file();
  if (fs::exists(path)) {
    Sha256 digest;
    Digest(path, digest);
    if (IsWhole(path, digest, artifact)) return path;
  }
  // By its sum: what is left of another model's file is never continued.
  const fs::path scratch = folder / ("." + artifact.file() + "." + artifact.ref().sha256() + ".part");
  if (fs::exists(scratch) && fs::file_size(scratch) > artifact.ref().size()) fs::remove(scratch);
  Sha256 digest;
  Digest(scratch, digest);
  service::v1::DownloadRequest request;
  request.set_name(model);
  request.set_file(artifact.file());
  Append(models, request, scratch, digest, tries);
  if (!IsWhole(scratch, digest, artifact)) {
    fs::remove(scratch);
    throw Damaged(model, artifact, "does not have the SHA-256 that the engine keeps for it: download it again");
  }
  fs::rename(scratch, path);
  return path;
}

}  // namespace neunets
