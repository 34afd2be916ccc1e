// cpp.cc - Hob in a C++ program: the runtime belongs to an object, errors are exceptions on this side
// of the C functions, and observers and handlers are lambdas.
//
//     c++ -std=c++17 -o cpp cpp.cc $(pkg-config --cflags --libs hob)
//     ./cpp hob.conf.lua
#include <hob.h>

#include <deque>
#include <exception>
#include <functional>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace hob {

struct Error : std::runtime_error {
    explicit Error(const hob_error &err) : std::runtime_error(err.message), code(err.code) {}
    int code;
};

// One run of a handler, while it lasts.
class Run {
  public:
    explicit Run(hob_run *run) : run_(run) {}

    std::string thing() const { return hob_run_thing(run_); }

    std::string text(const char *name) const
    {
        const char *value = nullptr;
        if (!hob_run_arg_string(run_, name, &value)) {
            throw std::runtime_error(std::string("there is no text ") + name);
        }
        return value;
    }

    void detail(const char *name, const std::string &value)
    {
        hob_run_detail(run_, name, value.c_str());
    }

    void succeed() { hob_run_succeed(run_); }

  private:
    hob_run *run_;
};

class Runtime {
  public:
    using Handler = std::function<void(Run &)>;
    using Ended = std::function<void(const hob_job_event &)>;

    explicit Runtime(const char *config)
    {
        hob_runtime_options options{};
        hob_error err;
        hob_runtime *runtime = nullptr;
        options.size = sizeof options;
        options.config_file = config;
        options.handle_signals = true;
        check(hob_runtime_new(&options, &runtime, &err), err);
        runtime_.reset(runtime);
    }

    void handle(const char *name, const char *args, Handler run)
    {
        hob_handler handler{};
        hob_error err;
        handlers_.push_back(std::move(run)); // a deque: its elements stay where they are
        handler.size = sizeof handler;
        handler.name = name;
        handler.args = args;
        handler.run = call_handler;
        handler.user = &handlers_.back();
        check(hob_runtime_add_handler(runtime_.get(), &handler, &err), err);
    }

    void on_ended(Ended ended)
    {
        hob_observer observer{};
        hob_error err{HOB_ENOMEM, "out of memory"};
        ended_.push_back(std::move(ended));
        observer.size = sizeof observer;
        observer.job_ended = call_ended;
        observer.user = &ended_.back();
        check(hob_runtime_observe(runtime_.get(), &observer), err);
    }

    void run()
    {
        hob_error err;
        check(hob_runtime_start(runtime_.get(), &err), err);
        hob_runtime_run(runtime_.get());
    }

  private:
    static void check(int rc, const hob_error &err)
    {
        if (rc) {
            throw Error(err);
        }
    }

    // C is the caller of these two: no exception may leave them.
    static void call_handler(void *user, hob_run *given)
    {
        try {
            Run run(given);
            (*static_cast<Handler *>(user))(run);
        } catch (const std::exception &error) {
            hob_run_fail(given, "EXCEPTION", error.what());
        }
    }

    static void call_ended(void *user, const hob_job_event *event)
    {
        try {
            (*static_cast<Ended *>(user))(*event);
        } catch (const std::exception &error) {
            std::cerr << "observer: " << error.what() << "\n";
        }
    }

    // In this order: the runtime is freed before what its callbacks use.
    std::deque<Handler> handlers_;
    std::deque<Ended> ended_;
    struct Free {
        void operator()(hob_runtime *runtime) const { hob_runtime_free(runtime); }
    };
    std::unique_ptr<hob_runtime, Free> runtime_;
};

} // namespace hob

int main(int argc, char **argv)
{
    if (argc != 2) {
        std::cerr << "usage: " << argv[0] << " hob.conf.lua\n";
        return 2;
    }
    try {
        hob::Runtime runtime(argv[1]);
        runtime.handle("greet", R"({"name": "string"})", [](hob::Run &run) {
            if (run.text("name") == "nobody") {
                throw std::invalid_argument("there is nobody to greet");
            }
            run.detail("greeting", "hello " + run.text("name") + " from " + run.thing());
            run.succeed();
        });
        runtime.on_ended([](const hob_job_event &event) {
            std::cout << event.job_id << ": " << event.status << " " << event.text << std::endl;
        });
        runtime.run();
    } catch (const hob::Error &error) {
        std::cerr << "cpp: " << error.what() << " (" << hob_error_name(error.code) << ")\n";
        return 1;
    }
    return 0;
}
