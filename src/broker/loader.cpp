#include "broker/loader.hpp"

#include "base/paths.hpp"
#include "base/text.hpp"
#include "broker/compiled_cache.hpp"
#include "broker/shipped_policies.hpp"

namespace substrate::broker {
namespace {

using LayerPtr = std::shared_ptr<const Layer>;

// One load from the files to the set.
class Loading {
  public:
    Loading(PolicyFiles& files, std::string cwd, std::string project, std::int64_t now_ns,
            std::string profile)
        : files_(files),
          places_(files.places),
          cwd_(std::move(cwd)),
          project_(std::move(project)),
          profile_(std::move(profile)),
          now_ns_(now_ns) {}

    Loaded run();

  private:
    template <class T, class Parse>
    const FileMemory<T>::Known& look(FileMemory<T>& memory, const std::string& path, Ground ground,
                                     Parse parse);
    void look_at_managed();
    LayerPtr named(const std::string& id);
    GroundTexts ground(const std::string& directory);
    void find_ground();
    void stand_on(const GroundTexts& texts, const std::string& directory, LayerRole role, bool alone);
    void add(const LayerPtr& layer, LayerRole role);
    void compile();

    PolicyFiles& files_;
    const Places& places_;
    std::string cwd_, project_, profile_;
    std::int64_t now_ns_;
    Loaded made_;
    std::vector<Layer> layers_;
    bool missing_ = false;  // a layer that must hold is not to be had
};

template <class T, class Parse>
const FileMemory<T>::Known& Loading::look(FileMemory<T>& memory, const std::string& path, Ground ground,
                                          Parse parse) {
    const auto& known = memory.look(path, ground, places_.uid, now_ns_, std::move(parse));
    made_.stamps.emplace_back(path, known.stamp);
    made_.unsettled |= known.unsettled;
    if (!known.problem) return known;
    // A stranger's file in a directory above ours says nothing to us.
    if (known.problem->code() == Errc::denied) {
        made_.notices.push_back("ignored: " + known.problem->message());
        return known;
    }
    made_.problems.push_back({path, known.problem->message(), known.problem->advice()});
    if (known.good)
        made_.notices.push_back(printable(path) +
                                " is broken, the last good one stays in force: " + known.problem->message());
    else missing_ = true;
    return known;
}

void Loading::add(const LayerPtr& layer, LayerRole role) {
    if (!layer) {
        missing_ = true;
        return;
    }
    for (const Layer& there : layers_)
        if (there.policy.hash == layer->policy.hash && there.file == layer->file) return;
    layers_.push_back(*layer);
    layers_.back().role = role;
}

void Loading::look_at_managed() {
    const auto& known =
        look(files_.policies, places_.managed_policy, Ground::system,
             [&](const std::string& text) { return read_layer(text, places_.managed_policy, {}, places_); });
    if (known.good) add(known.good, LayerRole::managed);
}

// The policy of this id; null, with a problem, when there is none.
LayerPtr Loading::named(const std::string& id) {
    const std::pair<const std::string*, Ground> directories[] = {{&places_.user_policies, Ground::own},
                                                                 {&places_.system_policies, Ground::system}};
    for (const auto& [directory, ground] : directories) {
        const std::string path = *directory + "/" + id + ".yaml";
        const auto& known = look(files_.policies, path, ground, [&](const std::string& text) {
            return read_layer(text, path, id, places_);
        });
        if (known.good) return known.good;
        if (known.problem) return nullptr;
    }
    if (const auto text = shipped_policy(id)) {
        auto layer = read_layer(*text, shipped_name(id), id, places_);
        if (layer) return std::make_shared<const Layer>(std::move(*layer));
        made_.problems.push_back({shipped_name(id), layer.error().message(), {}});
        return nullptr;
    }
    made_.unknown.push_back(id);
    made_.problems.push_back({places_.user_policies + "/" + id + ".yaml", "there is no policy '" + id + "'",
                              "substrate policy validate lists those there are"});
    return nullptr;
}

GroundTexts Loading::ground(const std::string& directory) {
    const std::string base = directory == "/" ? "" : directory;
    GroundTexts texts;
    const auto& profile = look(files_.profiles, base + "/" + kProfileFile, Ground::project,
                               [](std::string text) -> Result<std::string> {
                                   SUB_TRY(profile_in(text));
                                   return text;
                               });
    if (profile.good) texts.profile = *profile.good;
    const std::string path = base + "/" + kProjectPolicyFile;
    const auto& policy =
        look(files_.project_policies, path, Ground::project, [&](std::string text) -> Result<ProjectPolicy> {
            SUB_TRY_ASSIGN(Layer layer, read_layer(text, path, {}, places_));
            return ProjectPolicy{std::move(text), std::move(layer)};
        });
    if (policy.good) texts.policy = policy.good->text;
    return texts;
}

// The layers that a directory's texts mean. `alone`: they take the place of the account's
// default, and its own policy that of the profile.
void Loading::stand_on(const GroundTexts& texts, const std::string& directory, LayerRole role, bool alone) {
    if (texts.policy) {
        auto layer = read_layer(*texts.policy, directory + "/" + kProjectPolicyFile, {}, places_);
        // What was accepted was good then.
        if (layer) add(std::make_shared<const Layer>(std::move(*layer)), role);
        else missing_ = true;
        if (alone) return;
    }
    if (texts.profile) {
        const auto id = profile_in(*texts.profile);
        add(id ? named(*id) : nullptr, role);
    } else if (!texts.policy) add(named("default"), role);
}

void Loading::find_ground() {
    const auto& trust = look(files_.trust, places_.trust_file, Ground::own,
                             [](const std::string& text) { return parse_trust(text); });
    const TrustRecords records = trust.good ? *trust.good : TrustRecords();

    Choice& choice = made_.choice;
    for (std::string_view at = cwd_;; at = parent_of(at)) {
        const std::string directory(at);
        GroundTexts texts = ground(directory);
        const auto record = records.find(directory);
        const bool nearest = choice.directory.empty() && !texts.empty();
        if (nearest) {
            choice.directory = directory;
            choice.texts = texts;
        }
        if (record != records.end()) {
            choice.accepted = record->second;
            const GroundTexts& now = nearest ? choice.texts : texts;
            const bool unchanged = now == record->second.texts;
            choice.trusted = unchanged && (nearest || choice.directory.empty());
            if (choice.directory.empty()) choice.directory = directory;
            if (!unchanged)
                made_.notices.push_back("what " + printable(directory) +
                                        " says of its policy is not what was trusted, which still holds "
                                        "(substrate policy trust " +
                                        printable(directory) + ")");
            break;
        }
        if (at == "/") break;
    }
}

void Loading::compile() {
    if (missing_ || layers_.empty()) return;
    const policy::PatternValues values{.project = project_, .home = places_.home};
    std::vector<std::string_view> compiled;
    std::vector<std::shared_ptr<const void>> owners;
    for (const Layer& layer : layers_) {
        auto bytes = compiled_bytes(places_.cache, layer.policy, values);
        if (!bytes) {
            made_.problems.push_back({layer.file, bytes.error().message(), bytes.error().advice()});
            return;
        }
        compiled.push_back(bytes->bytes);
        owners.push_back(std::move(bytes->owner));
    }
    auto owner = std::make_shared<const std::vector<std::shared_ptr<const void>>>(std::move(owners));
    auto set = PolicySet::make(std::move(layers_), std::move(compiled), std::move(owner));
    if (set) made_.set = std::move(*set);
    else made_.problems.push_back({{}, set.error().message(), {}});
}

Loaded Loading::run() {
    look_at_managed();
    find_ground();
    const Choice& choice = made_.choice;
    if (choice.trusted) {
        stand_on(choice.texts, choice.directory, LayerRole::chosen, /*alone=*/true);
    } else {
        const bool chooses = !choice.texts.empty();
        const LayerRole under = chooses ? LayerRole::floor : LayerRole::chosen;
        if (choice.accepted)
            stand_on(choice.accepted->texts, choice.accepted->directory, LayerRole::accepted, /*alone=*/true);
        else add(named("default"), under);
        if (chooses) stand_on(choice.texts, choice.directory, LayerRole::chosen, /*alone=*/false);
    }
    if (!profile_.empty()) add(named(profile_), LayerRole::requested);
    compile();
    if (made_.set) made_.choice.profile = made_.set->id();
    return std::move(made_);
}

}  // namespace

Loaded load_policies(PolicyFiles& files, const std::string& cwd, const std::string& project,
                     std::int64_t now_ns, const std::string& profile) {
    return Loading(files, cwd, project, now_ns, profile).run();
}

Loaded load_policies(const Places& places, const std::string& cwd, const std::string& project) {
    PolicyFiles files(places);
    return load_policies(files, cwd, project, 0);
}

}  // namespace substrate::broker
