#pragma once

#include <filesystem>
#include <string>

#include "neunets/client.h"
#include "tries.h"

namespace neunets {

// Fetches one file of a model into `folder`: what is there already is kept, the rest is fetched, and it gets its name
// once its sum is right. Returns: the file.
std::filesystem::path DownloadFile(service::v1::Models::Stub& models, const std::string& model,
                                   const service::v1::Artifact& artifact, const std::filesystem::path& folder,
                                   Tries tries);

}  // namespace neunets
