import CLibraries
import MMoEParallel
import MMoETensor

/// The libraries that the program runs with.
package enum LibraryVersions {
  /// Names and versions: those that multiply with the kernels that they chose for this CPU, MPI, and the others.
  package static var all: [(name: String, version: String)] {
    let described = BLASBackend.allCases.compactMap { try? Engine(threads: 1, backend: $0).library }
    return (described + [ParallelProcess.library]).map(split)
      + (0..<mmoe_library_count()).map {
        (String(cString: mmoe_library_name($0)), String(cString: mmoe_library_version($0)))
      }
  }

  /// Name and version of a text such as "Open MPI v4.1.4".
  private static func split(_ text: String) -> (name: String, version: String) {
    let words = text.split(separator: " ")
    let at = words.firstIndex { $0.contains(where: \.isNumber) } ?? words.endIndex
    let version = words[at...].joined(separator: " ")
    return (words[..<at].joined(separator: " "), version.hasPrefix("v") ? String(version.dropFirst()) : version)
  }
}
