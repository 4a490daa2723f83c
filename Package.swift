// swift-tools-version: 6.0
// No unsafe flags: SwiftPM refuses a package that has them as a dependency by version. Targets from the bottom up; a test (ArchitectureTests) holds the imports to this order.
// C libraries and their Debian packages: OpenBLAS libopenblas-dev, oneDNN libdnnl-dev (optional),
// libpng libpng-dev, libjpeg-turbo libjpeg62-turbo-dev, libexif libexif-dev, libwebp libwebp-dev, libarchive libarchive-dev,
// libsndfile libsndfile1-dev, HDF5 libhdf5-dev, xxHash libxxhash-dev, zlib zlib1g-dev, zstd libzstd-dev, Open MPI
// libopenmpi-dev, FreeType libfreetype-dev, HarfBuzz libharfbuzz-dev. `scripts/mmoe` installs them.
import Foundation
import PackageDescription

/// oneDNN is built in where its header is installed; `MMOE_ONEDNN=0` builds without it.
let oneDNN =
  ProcessInfo.processInfo.environment["MMOE_ONEDNN"] != "0"
  && FileManager.default.fileExists(atPath: "/usr/include/dnnl.h")

let blasSettings: [CSetting] = oneDNN ? [.define("MMOE_ONEDNN")] : []
let blasLinks: [LinkerSetting] =
  [.linkedLibrary("openblas")]
  + (oneDNN ? [.linkedLibrary("dnnl"), .linkedLibrary("gomp")] : [])

// What a program of one's own imports, each with the modules below it; the program is another product. Other modules publish
// nothing: what they have is for the modules of this package alone (`package`).
let libraries = [
  "MMoEFiles", "MMoETensor", "MMoEData", "MMoEModels", "MMoEHDF5", "MMoEParallel", "MMoEReport", "MMoEConfig",
  "MMoETrain", "MMoERuns",
]

let package = Package(
  name: "mmoe",
  products: [.executable(name: "mmoe", targets: ["mmoe"])] + libraries.map { .library(name: $0, targets: [$0]) },
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    .target(name: "CKernels", path: "Sources/C/Kernels"),
    .target(
      name: "CBLAS", path: "Sources/C/BLAS", cSettings: blasSettings, linkerSettings: blasLinks),
    .systemLibrary(
      name: "CLibPNG", path: "Sources/C/LibPNG", pkgConfig: "libpng",
      providers: [.apt(["libpng-dev"])]),
    .target(name: "CPNG", dependencies: ["CLibPNG"], path: "Sources/C/PNG"),
    .systemLibrary(
      name: "CLibHDF5", path: "Sources/C/LibHDF5", pkgConfig: "hdf5-serial",
      providers: [.apt(["libhdf5-dev"])]),
    .target(
      name: "CHDF5", dependencies: ["CLibHDF5"], path: "Sources/C/HDF5",
      linkerSettings: [.linkedLibrary("xxhash")]),
    .systemLibrary(
      name: "CLibFreeType", path: "Sources/C/LibFreeType", pkgConfig: "freetype2",
      providers: [.apt(["libfreetype-dev"])]),
    .systemLibrary(
      name: "CLibHarfBuzz", path: "Sources/C/LibHarfBuzz", pkgConfig: "harfbuzz",
      providers: [.apt(["libharfbuzz-dev"])]),
    .target(name: "CGlyphs", dependencies: ["CLibFreeType", "CLibHarfBuzz"], path: "Sources/C/Glyphs"),
    .systemLibrary(
      name: "CLibSndFile", path: "Sources/C/LibSndFile", pkgConfig: "sndfile",
      providers: [.apt(["libsndfile1-dev"])]),
    .target(name: "CSound", dependencies: ["CLibSndFile"], path: "Sources/C/Sound"),
    .target(
      name: "CPictures", path: "Sources/C/Pictures",
      linkerSettings: [.linkedLibrary("jpeg"), .linkedLibrary("exif"), .linkedLibrary("webp")]),
    .target(name: "CArchive", path: "Sources/C/Archive", linkerSettings: [.linkedLibrary("archive")]),
    .target(name: "CHash", path: "Sources/C/Hash", linkerSettings: [.linkedLibrary("xxhash")]),
    .target(
      name: "CCompress", path: "Sources/C/Compress",
      linkerSettings: [.linkedLibrary("z"), .linkedLibrary("zstd")]),
    .systemLibrary(
      name: "CLibMPI", path: "Sources/C/LibMPI", pkgConfig: "ompi-c",
      providers: [.apt(["libopenmpi-dev"])]),
    .target(name: "CMPI", dependencies: ["CLibMPI"], path: "Sources/C/MPI"),
    .target(name: "CMemory", path: "Sources/C/Memory"),
    .target(
      name: "CLibraries", dependencies: ["CLibPNG", "CLibHDF5", "CLibFreeType", "CLibHarfBuzz", "CLibSndFile"],
      path: "Sources/C/Libraries",
      linkerSettings: ["jpeg", "webp", "archive", "xxhash", "z", "zstd"].map { .linkedLibrary($0) }),

    // The street: a module may use those before it that it names.
    .target(name: "MMoEFiles", path: "Sources/Files"),
    .target(name: "MMoETensor", dependencies: ["CKernels", "CBLAS", "MMoEFiles"], path: "Sources/Tensor"),
    .target(
      name: "MMoEData",
      dependencies: [
        "MMoEFiles", "MMoETensor", "CPNG", "CPictures", "CArchive", "CGlyphs", "CSound", "CHash", "CCompress",
      ], path: "Sources/Data"),
    .target(name: "MMoEModels", dependencies: ["MMoEFiles", "MMoETensor"], path: "Sources/Models"),
    .target(name: "MMoEHDF5", dependencies: ["CHDF5", "MMoEFiles"], path: "Sources/HDF5"),
    .target(
      name: "MMoEParallel", dependencies: ["CMPI", "CKernels", "MMoEFiles", "MMoETensor", "MMoEModels"],
      path: "Sources/Parallel"),
    .target(
      name: "MMoEReport", dependencies: ["MMoEFiles", "MMoETensor", "MMoEModels", "MMoEParallel"],
      path: "Sources/Report"),
    .target(
      name: "MMoEConfig",
      dependencies: ["MMoEFiles", "MMoETensor", "MMoEData", "MMoEModels", "MMoEParallel", "MMoEReport", "Yams"],
      path: "Sources/Config"),
    .target(
      name: "MMoETrain",
      dependencies: [
        "CKernels", "MMoEFiles", "MMoETensor", "MMoEData", "MMoEModels", "MMoEHDF5", "MMoEParallel", "MMoEReport",
        "MMoEConfig",
      ], path: "Sources/Train"),
    .target(
      name: "MMoEWeights",
      dependencies: [
        "CMemory", "MMoEFiles", "MMoETensor", "MMoEData", "MMoEModels", "MMoEHDF5", "MMoEReport", "MMoEConfig",
        "MMoETrain",
      ], path: "Sources/Weights"),
    .target(
      name: "MMoERuns",
      dependencies: [
        "CLibraries", "MMoEFiles", "MMoETensor", "MMoEData", "MMoEModels", "MMoEParallel", "MMoEReport", "MMoEConfig",
        "MMoETrain",
        "MMoEWeights",
      ], path: "Sources/Runs"),
    .target(
      name: "MMoEStudy",
      dependencies: [
        "CKernels", "MMoEFiles", "MMoETensor", "MMoEData", "MMoEModels", "MMoEReport", "MMoEConfig", "MMoETrain",
        "MMoEWeights", "MMoERuns",
      ], path: "Sources/Study"),
    .target(
      name: "MMoEBench",
      dependencies: [
        "CKernels", "MMoEFiles", "MMoETensor", "MMoEData", "MMoEModels", "MMoEHDF5", "MMoEParallel", "MMoEReport",
        "MMoEConfig", "MMoETrain", "MMoEWeights", "MMoERuns",
      ], path: "Sources/Bench"),
    .target(name: "MMoENotebook", dependencies: ["MMoEFiles", "MMoEReport", "MMoEConfig"], path: "Sources/Notebook"),
    .executableTarget(
      name: "mmoe",
      dependencies: [
        "MMoERuns", "MMoEStudy", "MMoEBench", "MMoENotebook",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], path: "Sources/mmoe"),

    .target(name: "TestCache", path: "Tests/TestCache"),
    .target(name: "TestSupport", dependencies: ["MMoETensor", "TestCache"], path: "Tests/Support"),
    .target(name: "KernelLevels", dependencies: ["CKernels"], path: "Tests/KernelLevels"),
    .testTarget(
      name: "TensorTests", dependencies: ["MMoETensor", "KernelLevels", "TestSupport"], path: "Tests/TensorTests"),
    .target(name: "PictureSamples", path: "Tests/PictureSamples"),
    .testTarget(
      name: "DataTests", dependencies: ["MMoEData", "PictureSamples", "TestSupport"], path: "Tests/DataTests"),
    .testTarget(
      name: "ModelsTests", dependencies: ["MMoEModels", "TestSupport"], path: "Tests/ModelsTests"),
    .executableTarget(
      name: "parallel-checks",
      // All that it imports: what is not named here changes without its being compiled again.
      dependencies: [
        "MMoETensor", "MMoEModels", "MMoEParallel", "MMoEReport", "MMoEConfig", "MMoETrain", "MMoERuns", "MMoEBench",
      ], path: "Tests/ParallelChecks"),
    .testTarget(
      name: "ParallelTests",
      dependencies: ["MMoERuns", "TestSupport", "parallel-checks", "mmoe"],
      path: "Tests/ParallelTests"),
    .testTarget(name: "HDF5Tests", dependencies: ["MMoEHDF5"], path: "Tests/HDF5Tests"),
    .target(name: "TinyRuns", dependencies: ["MMoETrain", "TestSupport"], path: "Tests/TinyRuns"),
    .testTarget(name: "FilesTests", dependencies: ["MMoEFiles", "TestSupport"], path: "Tests/FilesTests"),
    .testTarget(
      name: "ReportTests", dependencies: ["MMoEReport", "TestSupport"], path: "Tests/ReportTests", exclude: ["Fixtures"]
    ),
    .testTarget(name: "ConfigTests", dependencies: ["MMoEConfig", "TestSupport"], path: "Tests/ConfigTests"),
    .testTarget(
      name: "TrainTests", dependencies: ["MMoETrain", "TestSupport", "TinyRuns", "mmoe"], path: "Tests/TrainTests",
      exclude: ["Fixtures"]),
    .testTarget(
      name: "WeightsTests", dependencies: ["MMoEWeights", "TestSupport", "TinyRuns"], path: "Tests/WeightsTests"),
    .testTarget(name: "RunsTests", dependencies: ["MMoERuns", "TestSupport", "TinyRuns"], path: "Tests/RunsTests"),
    .testTarget(
      name: "StudyTests", dependencies: ["MMoEStudy", "MMoEBench", "TestSupport", "TinyRuns"], path: "Tests/StudyTests"),
    .testTarget(name: "BenchTests", dependencies: ["MMoEBench", "TestSupport"], path: "Tests/BenchTests"),
    .testTarget(
      name: "NotebookTests", dependencies: ["MMoENotebook", "TestSupport", "mmoe"], path: "Tests/NotebookTests"),
    .testTarget(
      name: "CLITests", dependencies: ["MMoEData", "TestSupport", "mmoe"], path: "Tests/CLITests"),
  ],
  swiftLanguageModes: [.v6]
)
