import Foundation
import MMoEData
import TestSupport
import Testing

@testable import MMoEConfig

/// Where things are kept that can be made again.
@Suite struct ProjectHomeTests {
  /// A folder's name below a file, where not even root makes one.
  private static let unwritable: (scratch: ScratchFolder, path: String) = {
    let scratch = ScratchFolder()
    try! Data().write(to: URL(fileURLWithPath: scratch("file")))
    return (scratch, scratch("file/project"))
  }()

  @Test(
    arguments: [
      (["MMOE_CACHE": "/own", "HOME": "/home/x"], "/own"), (["HOME": "/home/x"], "/home/x/.cache/mmoe"),
      (["HOME": "/home/x", "XDG_CACHE_HOME": "/big"], "/big/mmoe"),
      (["HOME": "/home/x", "XDG_CACHE_HOME": "relative"], "/home/x/.cache/mmoe"),
      (["MMOE_CACHE": "", "HOME": "/home/x"], "/home/x/.cache/mmoe"), ([:], nil),
    ] as [([String: String], String?)])
  func leavesAReadOnlyProject(environment: [String: String], expected: String?) {
    let project = ProjectHomeTests.unwritable
    #expect(ProjectHome.cache(of: project.path, environment) == expected ?? project.path + "/datasets/generated")
  }

  @Test func staysInAProjectThatCanBeWritten() {
    let folder = ScratchFolder()
    #expect(ProjectHome.cache(of: folder.path, ["HOME": "/home/x"]) == folder("datasets/generated"))
    #expect(ProjectHome.cache(of: folder.path, ["MMOE_CACHE": "/own"]) == "/own")
  }

  /// What cannot be written to the cache names the variable; what is wrong with the user's own files does not.
  @Test func errorsNameTheVariable() {
    let cache = ProjectHomeTests.unwritable.path
    func text(_ message: String) -> String {
      do {
        try ProjectHome.filling(cache) { throw DataError(message) }
        return ""
      } catch {
        return "\(error)"
      }
    }
    #expect(
      text("\(cache)/x: cannot be created")
        == "\(cache)/x: cannot be created, or set MMOE_CACHE to a folder that can be written")
    #expect(text("/home/x: no such folder") == "/home/x: no such folder")
  }
}
