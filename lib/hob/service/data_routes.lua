--- The HTTPS data plane of AWS IoT Jobs (`iot-jobs-data`): its REST paths. See
--- hob.service.http_side for the form.
return {}
