import Foundation
import MMoEConfig
import MMoEFiles
import MMoEReport

/// Debian packages, as `scripts/lib.sh` lists them.
enum PackageCheck {
  struct Package: Equatable, Sendable {
    let name: String
    /// What it is for, in words of a sentence.
    let use: String
    let isNeeded: Bool
    let isInstalled: Bool
  }

  static func run() -> Finding {
    guard let checkout = ProjectHome.checkout, FileManager.default.fileExists(atPath: checkout + "/scripts/lib.sh")
    else {
      return finding(nil, "the program stands outside of its checkout, whose scripts name them")
    }
    guard SearchPath.find("dpkg-query") != nil else { return finding(nil, "no dpkg-query here, so not Debian") }
    guard let text = list(checkout) else { return finding(nil, "\(checkout)/scripts/lib.sh cannot be asked") }
    return finding(parse(text), "")
  }

  /// Lines of `list_packages`: what for, needed or optional, the name, installed or missing, with tabs between.
  static func parse(_ text: String) -> [Package] {
    // Tests need some that commands need, too.
    var names: Set<String> = []
    return text.split(separator: "\n").compactMap { line in
      let words = line.split(separator: "\t").map(String.init)
      guard words.count == 4, names.insert(words[2]).inserted else { return nil }
      return Package(
        name: words[2], use: words[0], isNeeded: words[1] == "needed", isInstalled: words[3] == "installed")
    }
  }

  private static func list(_ checkout: String) -> String? {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    process.arguments = ["-euc", "root=$0; . \"$root/scripts/lib.sh\"; list_packages", checkout]
    let output = Pipe()
    (process.standardOutput, process.standardError) = (output, FileHandle.nullDevice)
    process.standardInput = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    let bytes = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return process.terminationStatus == 0 ? String(decoding: bytes, as: UTF8.self) : nil
  }

  /// - Parameter reason: why the packages are not known.
  static func finding(_ packages: [Package]?, _ reason: String) -> Finding {
    var finding = Finding("packages")
    guard let packages else {
      finding.lines = ["not looked at: \(reason)"]
      return finding
    }
    let missing = packages.filter { !$0.isInstalled }
    let needed = packages.filter(\.isNeeded)
    finding.lines.append("\(needed.count { $0.isInstalled }) of \(needed.count) needed ones are installed")
    let optional = missing.filter { !$0.isNeeded }
    if !optional.isEmpty {
      finding.lines.append(
        "not installed: " + optional.map { "\($0.name) (\($0.use))" }.joined(separator: ", ")
          + "; scripts/mmoe installs them when a command needs them")
    }
    for package in packages { finding.values[package.name] = .bool(package.isInstalled) }
    let lacking = missing.filter(\.isNeeded)
    if !lacking.isEmpty {
      finding.problems.append(
        "not installed: \(lacking.map { "\($0.name) (\($0.use))" }.joined(separator: ", ")); as root: apt-get install -y --no-install-recommends \(lacking.map(\.name).joined(separator: " "))"
      )
    }
    return finding
  }
}
