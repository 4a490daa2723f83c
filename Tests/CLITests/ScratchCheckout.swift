import Foundation
import TestSupport

/// A checkout that has the scripts and nothing to compile, on a machine of stand-ins: dpkg's tool looks into a list of ours,
/// apt-get, sudo, id and swift do what a test says and note that they were called.
struct ScratchCheckout {
  private let folder = ScratchFolder()
  /// The checkout's name in its folder; another one is another place.
  var name = "checkout"
  /// Variables for the scripts.
  var environment: [String: String] = [:]

  var root: String { folder(name) }

  /// - Parameter packages: Debian packages in the state `install ok installed`.
  init(installed packages: [String] = ScratchCheckout.needed) throws {
    for part in ["Sources", "Tests"] { try write("", "\(name)/\(part)/a.swift") }
    try write("", "\(name)/Package.swift")
    try FileManager.default.copyItem(atPath: ProgramRunner.package + "/scripts", toPath: root + "/scripts")
    try write("Swift version 6.3.1\nTarget: x86_64-unknown-linux-gnu\n", "swift-version")
    try write("", "calls")
    try write("", "dpkg/status")
    for package in packages { try setPackage(package) }
    for (program, text) in ScratchCheckout.standIns { try write("#!/bin/bash\n" + text, "bin/" + program, mode: 0o755) }
  }

  /// What `scripts/mmoe` needs before it builds.
  static let needed = [
    "libopenblas-dev", "libdnnl-dev", "libpng-dev", "libjpeg62-turbo-dev", "libexif-dev",
    "libwebp-dev", "libarchive-dev", "libfreetype-dev", "libharfbuzz-dev", "libsndfile1-dev",
    "libhdf5-dev", "libxxhash-dev", "zlib1g-dev", "libzstd-dev", "libopenmpi-dev", "pkg-config", "gnuplot-nox",
    "fonts-dejavu-core", "openmpi-bin",
  ]

  private static let standIns = [
    "dpkg-query": "exec /usr/bin/dpkg-query --admindir=\"$STATE/dpkg\" \"$@\"\n",
    "id": "echo \"${STAND_IN_USER:-0}\"\n",
    // As the real one: nothing of the caller's environment comes through.
    "sudo": """
    [ -z "${SUDO_ASKS:-}" ] || exit 1
    [ "$1" = -n ] && shift
    exec env -i PATH="$PATH" STATE="$STATE" "$@"

    """,
    // Waiting takes no time here.
    "sleep": "echo \"sleep $*\" >>\"$STATE/calls\"\n",
    "apt-get": """
    echo "apt-get ${DEBIAN_FRONTEND:-} $*" >>"$STATE/calls"
    while [ "$1" = -o ]; do shift 2; done
    verb=$1
    [ ! -f "$STATE/apt" ] || . "$STATE/apt"
    [ "$verb" = install ] || exit 0
    shift
    for package in "$@"; do
      [[ $package != -* ]] || continue
      sed -i "/^Package: $package$/,/^$/d" "$STATE/dpkg/status"
      printf 'Package: %s\\nStatus: install ok installed\\nVersion: 1\\nArchitecture: all\\nMaintainer: m\\nDescription: d\\n\\n' \\
        "$package" >>"$STATE/dpkg/status"
    done

    """,
    // Two at once disturb each other, and modules are of one place.
    "swift": """
    [ "$1" != --version ] || exec cat "$STATE/swift-version"
    echo "swift $* oneDNN $MMOE_ONEDNN" >>"$STATE/calls"
    mkdir "$STATE/building" || { echo "error: two builds at once"; exit 1; }
    echo "[1/3] Compiling one"
    /bin/sleep 0.2
    echo "a line of the compiler"
    code=0
    [ ! -f "$STATE/swift" ] || . "$STATE/swift"
    build=$3/.build/x86_64-unknown-linux-gnu/release
    mkdir -p "$build"
    [ ! -f "$build/modules" ] || [ "$(cat "$build/modules")" = "$build" ] ||
      { echo "error: missing required module 'SwiftShims'"; code=1; }
    echo "$build" >"$build/modules"
    ln -sfn x86_64-unknown-linux-gnu/release "$3/.build/release"
    echo "inputs: [\\"$3/Sources/\\"]" >"$3/.build/release.yaml"
    printf '#!/bin/sh\\necho "ran $*"\\n' >"$build/mmoe"
    chmod +x "$build/mmoe"
    rmdir "$STATE/building"
    exit $code

    """,
  ]

  /// Writes a file of the stand-in machine: `apt` and `swift` are run by these programs, `checkout/…` are sources.
  func write(_ text: String, _ file: String, mode: Int = 0o644) throws {
    let path = folder(file)
    try FileManager.default.createDirectory(
      atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
  }

  /// Adds a package to dpkg's list.
  func setPackage(_ package: String, status: String = "install ok installed", version: String = "1") throws {
    let list = try String(contentsOfFile: folder("dpkg/status"), encoding: .utf8)
    try write(
      list.components(separatedBy: "\n\n").filter { !$0.hasPrefix("Package: \(package)\n") && !$0.isEmpty }.map {
        $0 + "\n\n"
      }.joined()
        + "Package: \(package)\nStatus: \(status)\nVersion: \(version)\nArchitecture: all\nMaintainer: m\nDescription: d\n\n",
      "dpkg/status")
  }

  /// What the stand-ins were called with since the last call of this, or since the beginning.
  func calls() throws -> [String] {
    let lines = try String(contentsOfFile: folder("calls"), encoding: .utf8).split(separator: "\n").map(String.init)
    try write("", "calls")
    return lines
  }

  func builds() throws -> Int { try calls().filter { $0.hasPrefix("swift build") }.count }

  /// Gives the checkout another name, as `mv` or `cp -a` does.
  mutating func becomes(_ other: String, copied: Bool) throws {
    let old = root
    name = other
    let result = try ProgramRunner.run(copied ? ["cp", "-a", old, root] : ["mv", old, root], program: "/usr/bin/env")
    guard result.status == 0 else { throw CocoaError(.fileWriteUnknown) }
  }

  /// Runs a command line in the checkout, as a user whose PATH has no folder of root's.
  func run(_ command: String) throws -> ProgramRunner.Result {
    let variables = environment.map { "\($0)=\($1)" }
    return try ProgramRunner.run(
      ["-i", "PATH=\(folder("bin")):/usr/bin:/bin", "STATE=\(folder.path)", "HOME=\(folder.path)"] + variables
        + ["bash", "-c", command], program: "/usr/bin/env", in: root)
  }
}
